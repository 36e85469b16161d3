// x = 0; x[i[o]] = y[o], by what each pixel of x gets: written once, and past the cache where x is large. A task is a
// row of x, or a plane where windows overlap.
#include "max_unpool/spread.h"

#include <atomic>

#include "core/workspace.h"

namespace pyseg::max_unpool {

static constexpr std::int64_t kMostEncoded = 64;  // taps: each is compared

namespace {

// Along an axis of tiles, the window and tap of a position; tap >= kernel, or window >= pooled, where there is none.
Over::Hit only(const Problem& p, std::size_t a, std::int64_t at) { return {at / p.stride[a], at % p.stride[a]}; }

// Where a block of rows is written: in the result, or, where that is large, in the cache, to be copied past it.
template <typename T>
class Stage {
 public:
  Stage(bool used, std::int64_t row)
      : most_(std::max<std::int64_t>(1, kBytes / (row * static_cast<std::int64_t>(sizeof(T))))) {
    if (used) buffer_ = scratch_.take(most_ * row + 128);
  }
  // Calls write(pointer, i, n) for `count` groups of `size` values from i = 0 on.
  template <typename Write>
  void run(T* x, std::int64_t count, std::int64_t size, Write write) {
    if (buffer_ == nullptr) return write(x, std::int64_t{0}, count);
    for (std::int64_t i = 0; i < count; i += most_) {
      const std::int64_t n = std::min(most_, count - i);
      write(buffer_, i, n);
      kernel_table().copy_past_cache(buffer_, x + i * size, n * size * static_cast<std::int64_t>(sizeof(T)));
    }
  }

 private:
  static constexpr std::int64_t kBytes = 12288;
  std::int64_t most_;
  Scratch<T> scratch_;
  T* buffer_ = nullptr;
};

}  // namespace

bool is_pairs(const Problem& p) {
  return p.index == Index::tap && !p.channels_last && p.kernel[2] == 2 && p.stride[2] == 2 && tiles(p);
}

// A task is the rows of x, at one depth, that belong to a pooled row.
template <typename S>
void spread_pairs(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec) {
  using T = typename S::T;
  const std::int64_t D = p.large[0], H = p.large[1], W = p.large[2], stride = p.stride[1], pooled = p.small[2];
  const std::int64_t groups = (H + stride - 1) / stride, whole = std::min(p.small[1], H / stride);
  exec.run(p.batch * p.channels * D * groups, grain_of(W * stride), [&](std::int64_t begin, std::int64_t end) {
    const auto run = kernel_table().of[static_cast<int>(p.value)].spread_pairs;
    const bool stream = past_cache(p);
    Stage<T> stage(stream, stride * W);
    Scratch<T> scratch;
    for (std::int64_t r = begin, n; r < end; r += n) {
      const std::int64_t g = r % groups, plane = r / groups / D, channel = plane % p.channels;
      const Over::Hit d = only(p, 0, r / groups % D);
      T* x = static_cast<T*>(a.large) + (r / groups * H + g * stride) * W;
      const T rest = finish.rest()[channel];
      n = 1;
      if (d.window >= p.small[0] || d.tap >= p.kernel[0] || g >= p.small[1]) {
        std::fill(x, x + std::min(stride, H - g * stride) * W, rest);
        continue;
      }
      if (g < whole) n = std::min(end - r, whole - g);
      const std::int64_t first = ((plane * p.small[0] + d.window) * p.small[1] + g) * pooled;
      const std::uint8_t* codes = static_cast<const std::uint8_t*>(a.indices) + first;
      const T* y = static_cast<const T*>(a.small) + first;
      if (d.tap == 0) check_codes(p, codes, d.window, g, n);
      if (finish.any()) {
        T* to = scratch.take(n * pooled);
        finish.row(y, n * pooled, channel, 0, to);
        y = to;
      }
      const std::int64_t rows = std::min(stride, H - g * stride);
      stage.run(x, n, rows * W, [&](T* to, std::int64_t i, std::int64_t count) {
        run({y + i * pooled, codes + i * pooled, count, pooled, W, std::min(p.kernel[1], rows), rows,
             static_cast<int>(d.tap * p.kernel[1] * 2)},
            &rest, to);
      });
    }
    if (stream) kernel_table().fence();
  });
}

bool is_strips(const Problem& p) {
  const std::int64_t room = (p.kernel[2] - 1) * p.dilation[2] + p.padding[2];  // that rows are padded by
  return p.index == Index::tap && !p.channels_last && p.stride[2] <= 2 && p.taps() < kMostTaps &&
         room <= p.large[2] + kMostTaps;
}

// A plane of pooled values and codes with room at both ends of each row.
template <typename S, typename To, typename Widen>
static void pad(const Problem& p, const void* small, const void* indices, std::int64_t plane, std::int64_t left,
                std::int64_t pitch, Widen widen, To* values, std::uint8_t* codes) {
  const std::int64_t rows = p.small[0] * p.small[1], width = p.small[2];
  for (std::int64_t r = 0; r < rows; ++r) {
    const typename S::T* y = static_cast<const typename S::T*>(small) + (plane * rows + r) * width;
    const std::uint8_t* c = static_cast<const std::uint8_t*>(indices) + (plane * rows + r) * width;
    check_codes(p, c, r / p.small[1], r % p.small[1], 1);
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
        const Rows row{nullptr, nullptr, 0, 1, 0, W, p.small[2], p.kernel[2], stride, p.padding[2], p.dilation[2]};
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

// A row of pixels, of windows side by side.
template <typename S>
static void tile_row(const Problem& p, const typename S::T* y, const std::uint8_t* codes, int tap,
                     const typename S::T* rest, typename S::T* x, bool stream) {
  const auto run = kernel_table().of[static_cast<int>(p.value)].spread_strides;
  const std::int64_t C = p.channels, W = p.large[2], stride = p.stride[2], whole = std::min(p.small[2], W / stride);
  run({y, codes, whole, C, p.kernel[2], stride, tap}, rest, x, stream);
  std::int64_t w = whole * stride;
  if (whole < p.small[2] && w < W) {  // the last window reaches beyond the image
    run({y + whole * C, codes + whole * C, 1, C, std::min(p.kernel[2], W - w), W - w, tap}, rest, x + w * C, false);
    w = W;
  }
  for (; w < W; ++w) std::copy(rest, rest + C, x + w * C);
}

template <typename S>
void spread_pixels(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec) {
  using T = typename S::T;
  const Over over_d(p, 0), over_h(p, 1), over_w(p, 2);
  const std::int64_t C = p.channels, W = p.large[2], width = p.small[2] * C;
  const bool stream = past_cache(p), tiled = tiles(p);
  exec.run(p.batch * p.large[0] * p.large[1], grain_of(W * C), [&](std::int64_t begin, std::int64_t end) {
    const auto run = kernel_table().of[static_cast<int>(p.value)].spread_pixel;
    Scratch<T> scratch;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t image = r / p.large[1] / p.large[0], d = r / p.large[1] % p.large[0], h = r % p.large[1];
      T* x = static_cast<T*>(a.large) + r * W * C;
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
            check_codes(p, row_codes[count - 1], i->window, j->window, 1);
        }
      if (finish.any())
        for (int i = 0; i < count; ++i) {
          T* to = scratch.take(count * width) + i * width;
          finish.row(rows[i], p.small[2], 0, C, to);
          rows[i] = to;
        }
      if (tiled && count == 1) {
        tile_row<S>(p, rows[0], row_codes[0], first_tap[0], finish.rest(), x, stream);
        continue;
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
        run({value, code, tap, hits, C}, finish.rest(), x + w * C, a.add);
      }
    }
    if (stream) kernel_table().fence();
  });
}

// Places in the plane as codes of taps; false where one is of no tap of its window.
static bool encode(const Problem& p, const void* indices, std::uint8_t* codes, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const std::int64_t width = p.small[2] * pitch;
  std::int64_t of_tap[kMostTaps];
  tap_places(p, of_tap);
  std::atomic<bool> all{true};
  exec.run(planes * p.small[0] * p.small[1], grain_of(width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end && all.load(std::memory_order_relaxed); ++r) {
      const std::int64_t oh = r % p.small[1], od = r / p.small[1] % p.small[0];
      const bool known = kernel_table().encode(at_bytes(indices, r * width * size_of(p.index)), p.index == Index::i64,
                                               p.small[2], pitch, row_origin(p, od, oh), p.stride[2], of_tap,
                                               static_cast<int>(p.taps()), codes + r * width);
      if (!known || !codes_fit(p, codes + r * width, od, oh, 1)) all.store(false, std::memory_order_relaxed);
    }
  });
  return all.load();
}

void spread(const Problem& p, const void* small, const void* indices, void* large, bool add, bool windowed,
            const Affine& affine, const Executor& exec) {
  if (p.batch * p.channels * p.large_plane() == 0) return;
  if (p.index != Index::tap && p.taps() > 1 && p.taps() <= kMostEncoded) {
    Problem q = p;
    q.index = Index::tap;
    Scratch<std::uint8_t> codes;
    codes.take(p.batch * p.channels * p.small_plane());
    if (encode(p, indices, codes.get(), exec)) return spread(q, small, codes.get(), large, add, windowed, affine, exec);
  }
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
