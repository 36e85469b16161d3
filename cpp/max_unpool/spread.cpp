// x = 0; x[i[o]] = y[o], by what each pixel of x gets: written once, and past the cache where x is large. A task is a
// row of x, or a plane where windows overlap.
#include "max_unpool/spread.h"

#include "core/workspace.h"

namespace pyseg::max_unpool {

bool is_pairs(const Problem& p) {
  if (p.index != Index::tap || p.channels_last || p.kernel[2] != 2 || p.stride[2] != 2) return false;
  for (std::size_t a = 0; a < 3; ++a)
    if (p.padding[a] != 0 || p.stride[a] < p.kernel[a] || (p.dilation[a] != 1 && p.kernel[a] != 1)) return false;
  return true;
}

// The window and tap of a position, of windows that do not overlap; tap >= kernel between them.
static Over::Hit only(const Problem& p, std::size_t a, std::int64_t at) { return {at / p.stride[a], at % p.stride[a]}; }

template <typename S>
void spread_pairs(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec) {
  using T = typename S::T;
  const std::int64_t W = p.large[2], pooled = p.small[2], pairs = std::min(pooled, W / 2);
  const bool stream = past_cache(p);
  exec.run(p.batch * p.channels * p.large[0] * p.large[1], grain_of(W), [&](std::int64_t begin, std::int64_t end) {
    const auto run = kernel_table().of[static_cast<int>(p.value)].spread_pairs;
    Scratch<T> scratch;
    std::int64_t finished = -1;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t plane = r / p.large[1] / p.large[0], channel = plane % p.channels;
      const Over::Hit d = only(p, 0, r / p.large[1] % p.large[0]), h = only(p, 1, r % p.large[1]);
      T* x = static_cast<T*>(a.large) + r * W;
      const T rest = finish.rest()[channel];
      if (d.window >= p.small[0] || d.tap >= p.kernel[0] || h.window >= p.small[1] || h.tap >= p.kernel[1]) {
        std::fill(x, x + W, rest);
        continue;
      }
      const std::int64_t row = (plane * p.small[0] + d.window) * p.small[1] + h.window;
      const std::uint8_t* codes = static_cast<const std::uint8_t*>(a.indices) + row * pooled;
      const T* y = static_cast<const T*>(a.small) + row * pooled;
      if (d.tap == 0 && h.tap == 0) check_codes(p, codes, d.window, h.window);
      if (finish.any()) {
        T* to = scratch.take(pooled);
        if (finished != row) finish.row(y, pooled, channel, 0, to);
        finished = row;
        y = to;
      }
      const int tap = static_cast<int>((d.tap * p.kernel[1] + h.tap) * 2);
      run(y, codes, tap, pairs, &rest, x, stream);
      if (pairs < pooled)
        x[2 * pairs] = codes[pairs] == tap ? y[pairs] : rest;  // its second column is beside the image
      std::fill(x + std::min(W, 2 * pooled), x + W, rest);
    }
    if (stream) kernel_table().fence();
  });
}

bool is_strips(const Problem& p) {
  return p.index == Index::tap && !p.channels_last && p.stride[2] <= 2 && p.taps() < kMostTaps;
}

// A plane of pooled values and codes with room at both ends of each row.
template <typename S, typename To, typename Widen>
static void pad(const Problem& p, const void* small, const void* indices, std::int64_t plane, std::int64_t left,
                std::int64_t pitch, Widen widen, To* values, std::uint8_t* codes) {
  const std::int64_t rows = p.small[0] * p.small[1], width = p.small[2];
  for (std::int64_t r = 0; r < rows; ++r) {
    const typename S::T* y = static_cast<const typename S::T*>(small) + (plane * rows + r) * width;
    const std::uint8_t* c = static_cast<const std::uint8_t*>(indices) + (plane * rows + r) * width;
    check_codes(p, c, r / p.small[1], r % p.small[1]);
    To* to = values + r * pitch;
    std::fill(to, to + left, To{});
    for (std::int64_t i = 0; i < width; ++i) to[left + i] = widen(y[i]);
    std::fill(to + left + width, to + pitch, To{});
    std::fill(codes + r * pitch, codes + r * pitch + left, std::uint8_t{255});
    std::copy(c, c + width, codes + r * pitch + left);
    std::fill(codes + r * pitch + left + width, codes + (r + 1) * pitch, std::uint8_t{255});
  }
}

template <typename S>
void spread_strips(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec) {
  using T = typename S::T;
  using Wide = typename S::Wide;
  const Over over_d(p, 0), over_h(p, 1);
  const std::int64_t stride = p.stride[2], W = p.large[2];
  const std::int64_t left = (p.kernel[2] - 1) * p.dilation[2] / stride + 1;
  const std::int64_t pitch = left + std::max(p.small[2], W / stride + 1) + p.padding[2] / stride + 66;
  const std::int64_t rows = p.small[0] * p.small[1];
  const bool wide = a.add && sizeof(T) == 2;  // sums are rounded once
  exec.run(p.batch * p.channels, grain_of(p.large_plane()), [&](std::int64_t begin, std::int64_t end) {
    Scratch<T> values;
    Scratch<Wide> wide_values, wide_row;
    Scratch<std::uint8_t> codes;
    codes.take(rows * pitch);
    const auto run = kernel_table().of[static_cast<int>(wide ? Value::f32 : p.value)].spread_row;
    for (std::int64_t plane = begin; plane < end; ++plane) {
      const std::int64_t channel = plane % p.channels;
      if (wide)
        pad<S>(
            p, a.small, a.indices, plane, left, pitch, [](T v) { return S::widen(v); }, wide_values.take(rows * pitch),
            codes.get());
      else
        pad<S>(
            p, a.small, a.indices, plane, left, pitch, [&](T v) { return finish.of(v, channel); },
            values.take(rows * pitch), codes.get());
      const auto* padded = wide ? reinterpret_cast<const std::byte*>(wide_values.get())
                                : reinterpret_cast<const std::byte*>(values.get());
      const std::int64_t size = wide ? static_cast<std::int64_t>(sizeof(Wide)) : static_cast<std::int64_t>(sizeof(T));
      for (std::int64_t r = 0; r < p.large[0] * p.large[1]; ++r) {
        const void* value[kMostTaps];
        const std::uint8_t* code[kMostTaps];
        int tap[kMostTaps], count = 0;
        const std::int64_t d = r / p.large[1], h = r % p.large[1];
        for (const Over::Hit* i = over_d.begin(d); i < over_d.end(d); ++i)
          for (const Over::Hit* j = over_h.begin(h); j < over_h.end(h); ++j) {
            const std::int64_t at = (i->window * p.small[1] + j->window) * pitch + left;
            value[count] = padded + at * size;
            code[count] = codes.get() + at;
            tap[count++] = static_cast<int>((i->tap * p.kernel[1] + j->tap) * p.kernel[2]);
          }
        const Sources sources{value, code, tap, count, 1};
        const Row row{nullptr, nullptr, 0, W, p.small[2], p.kernel[2], stride, p.padding[2], p.dilation[2]};
        T* x = static_cast<T*>(a.large) + (plane * p.large[0] * p.large[1] + r) * W;
        const T rest = finish.rest()[channel];
        if (!wide) {
          run(sources, row, &rest, x, a.add);
          continue;
        }
        const Wide zero{};
        run(sources, row, &zero, wide_row.take(W), true);
        for (std::int64_t w = 0; w < W; ++w) x[w] = S::narrow(wide_row.get()[w]);
      }
    }
  });
}

template <typename S>
void spread_pixels(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec) {
  using T = typename S::T;
  const Over over_d(p, 0), over_h(p, 1), over_w(p, 2);
  const std::int64_t C = p.channels, W = p.large[2], width = p.small[2] * C;
  const bool stream = past_cache(p);
  exec.run(p.batch * p.large[0] * p.large[1], grain_of(W * C), [&](std::int64_t begin, std::int64_t end) {
    const auto run = kernel_table().of[static_cast<int>(p.value)].spread_pixel;
    Scratch<T> scratch;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t image = r / p.large[1] / p.large[0], d = r / p.large[1] % p.large[0], h = r % p.large[1];
      const T* rows[kMostTaps];
      const std::uint8_t* row_codes[kMostTaps];
      int first_tap[kMostTaps], count = 0;
      for (const Over::Hit* i = over_d.begin(d); i < over_d.end(d); ++i)
        for (const Over::Hit* j = over_h.begin(h); j < over_h.end(h); ++j) {
          const std::int64_t row = (image * p.small[0] + i->window) * p.small[1] + j->window;
          rows[count] = static_cast<const T*>(a.small) + row * width;
          row_codes[count] = static_cast<const std::uint8_t*>(a.indices) + row * width;
          first_tap[count++] = static_cast<int>((i->tap * p.kernel[1] + j->tap) * p.kernel[2]);
          if (i->tap == taps_of(p, 0, i->window).first && j->tap == taps_of(p, 1, j->window).first)
            check_codes(p, row_codes[count - 1], i->window, j->window);
        }
      if (finish.any())
        for (int i = 0; i < count; ++i) {
          T* to = scratch.take(count * width) + i * width;
          finish.row(rows[i], p.small[2], 0, C, to);
          rows[i] = to;
        }
      for (std::int64_t w = 0; w < W; ++w) {
        const void* value[kMostTaps];
        const std::uint8_t* code[kMostTaps];
        int tap[kMostTaps], hits = 0;
        for (int i = 0; i < count; ++i)
          for (const Over::Hit* k = over_w.begin(w); k < over_w.end(w); ++k) {
            value[hits] = rows[i] + k->window * C;
            code[hits] = row_codes[i] + k->window * C;
            tap[hits++] = first_tap[i] + static_cast<int>(k->tap);
          }
        run({value, code, tap, hits, C}, finish.any() ? finish.rest() : nullptr,
            static_cast<T*>(a.large) + (r * W + w) * C, a.add, stream);
      }
    }
    if (stream) kernel_table().fence();
  });
}

void spread(const Problem& p, const void* small, const void* indices, void* large, bool add, bool windowed,
            const Affine& affine, const Executor& exec) {
  if (p.batch * p.channels * p.large_plane() == 0) return;
  const Arrays arrays{small, indices, large, add, windowed};
  with_value(p.value, [&](auto stored) {
    using S = decltype(stored);
    const Finish<S> finish(p, affine);
    if (is_pairs(p)) return spread_pairs(p, arrays, finish, exec);
    if (is_strips(p)) return spread_strips(p, arrays, finish, exec);
    const bool sums = add && !p.apart();
    if (p.index == Index::tap && p.channels_last && !(sums && size_of(p.value) == 2))
      return spread_pixels(p, arrays, finish, exec);
    scatter(p, arrays, finish, exec);
  });
}

}  // namespace pyseg::max_unpool
