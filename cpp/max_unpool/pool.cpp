// Maxima and where they stood. A task is a pooled row: along the row of a plane, or pixel by pixel along the channels.
// Codes of taps are what the kernels know; places in the plane are made of a row's codes while those are in the cache.
#include <memory>

#include "core/workspace.h"
#include "max_unpool/convert.h"
#include "max_unpool/windows.h"

namespace pyseg::max_unpool {

namespace {

const std::byte* bytes(const void* p) { return static_cast<const std::byte*>(p); }
std::byte* bytes(void* p) { return static_cast<std::byte*>(p); }

// out[o * pitch + c]: the place of tap codes[o * pitch + c] of window o.
template <typename I>
void places(const Problem& p, const std::int64_t* of_tap, std::int64_t od, std::int64_t oh, std::int64_t pitch,
            const std::uint8_t* codes, I* out) {
  const std::int64_t row =
      ((od * p.stride[0] - p.padding[0]) * p.large[1] + oh * p.stride[1] - p.padding[1]) * p.large[2];
  for (std::int64_t o = 0; o < p.small[2]; ++o) {
    const std::int64_t origin = row + o * p.stride[2] - p.padding[2];
    for (std::int64_t c = 0; c < pitch; ++c) out[o * pitch + c] = static_cast<I>(origin + of_tap[codes[o * pitch + c]]);
  }
}

void tap_places(const Problem& p, std::int64_t* of_tap) {
  for (std::int64_t t = 0; t < p.taps(); ++t) {
    const std::int64_t kw = t % p.kernel[2], kh = t / p.kernel[2] % p.kernel[1], kd = t / p.kernel[2] / p.kernel[1];
    of_tap[t] = (kd * p.dilation[0] * p.large[1] + kh * p.dilation[1]) * p.large[2] + kw * p.dilation[2];
  }
}

void pool_plane_row(const Problem& p, const std::byte* plane, std::int64_t od, std::int64_t oh, void* y,
                    std::uint8_t* codes) {
  const RowTaps taps(p, od, oh);
  const void* rows[kMostTaps];
  for (int i = 0; i < taps.count; ++i) rows[i] = plane + taps.row[i] * p.large[2] * size_of(p.value);
  kernel_table().of[static_cast<int>(p.value)].pool_row(
      {rows, taps.first_tap, taps.count, p.large[2], p.small[2], p.kernel[2], p.stride[2], p.padding[2], p.dilation[2]},
      y, codes);
}

void pool_pixel_row(const Problem& p, const std::byte* image, std::int64_t od, std::int64_t oh, std::byte* y,
                    std::uint8_t* codes) {
  const RowTaps taps(p, od, oh);
  const std::int64_t pixel = p.channels * size_of(p.value);
  const auto run = kernel_table().of[static_cast<int>(p.value)].pool_pixel;
  const void* at[kMostTaps];
  int tap[kMostTaps];
  for (std::int64_t o = 0; o < p.small[2]; ++o) {
    const Taps w = taps_of(p, 2, o);
    int count = 0;
    for (int i = 0; i < taps.count; ++i)
      for (std::int64_t k = w.first; k < w.last; ++k) {
        at[count] = image + (taps.row[i] * p.large[2] + w.origin + k * p.dilation[2]) * pixel;
        tap[count++] = taps.first_tap[i] + static_cast<int>(k);
      }
    run({at, tap, count, p.channels}, y + o * pixel, codes + o * p.channels);
  }
}

// Kernels of more than 256 taps: value by value.
template <typename S, typename I>
void pool_any(const Problem& p, const void* x, void* y, void* indices, std::int64_t begin, std::int64_t end) {
  using T = typename S::T;
  const std::int64_t pitch = p.channels_last ? p.channels : 1;
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t oh = r % p.small[1], od = r / p.small[1] % p.small[0], plane = r / p.small[1] / p.small[0];
    const T* from = static_cast<const T*>(x) + plane * p.large_plane() * pitch;
    const Taps d = taps_of(p, 0, od), h = taps_of(p, 1, oh);
    for (std::int64_t i = 0; i < p.small[2] * pitch; ++i) {
      const Taps w = taps_of(p, 2, i / pitch);
      T best{};
      std::int64_t at = -1;
      for (std::int64_t kd = d.first; kd < d.last; ++kd)
        for (std::int64_t kh = h.first; kh < h.last; ++kh)
          for (std::int64_t kw = w.first; kw < w.last; ++kw) {
            const std::int64_t place =
                ((d.origin + kd * p.dilation[0]) * p.large[1] + h.origin + kh * p.dilation[1]) * p.large[2] + w.origin +
                kw * p.dilation[2];
            const T v = from[place * pitch + i % pitch];
            if (at >= 0 && !(S::widen(v) > S::widen(best)) && S::widen(v) == S::widen(v)) continue;
            best = v;
            at = place;
          }
      static_cast<T*>(y)[r * p.small[2] * pitch + i] = best;
      static_cast<I*>(indices)[r * p.small[2] * pitch + i] = static_cast<I>(at);
    }
  }
}

}  // namespace

void pool(const Problem& p, const void* x, void* y, void* indices, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const std::int64_t rows = planes * p.small[0] * p.small[1], width = p.small[2] * pitch;
  if (rows == 0 || width == 0) return;
  const std::int64_t grain = grain_of(width * std::min<std::int64_t>(p.taps(), 16));
  if (p.taps() > kMostTaps) {
    with_value(p.value, [&](auto stored) {
      using S = decltype(stored);
      exec.run(rows, grain, [&](std::int64_t begin, std::int64_t end) {
        if (p.index == Index::i32) pool_any<S, std::int32_t>(p, x, y, indices, begin, end);
        else pool_any<S, std::int64_t>(p, x, y, indices, begin, end);
      });
    });
    return;
  }
  std::int64_t of_tap[kMostTaps];
  tap_places(p, of_tap);
  const std::int64_t size = size_of(p.value);
  exec.run(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch<std::uint8_t> scratch;
    std::uint8_t* row_codes = p.index == Index::tap ? nullptr : scratch.take(width);
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t oh = r % p.small[1], od = r / p.small[1] % p.small[0], plane = r / p.small[1] / p.small[0];
      const std::byte* from = bytes(x) + plane * p.large_plane() * pitch * size;
      std::byte* to = bytes(y) + r * width * size;
      std::uint8_t* codes = row_codes != nullptr ? row_codes : static_cast<std::uint8_t*>(indices) + r * width;
      if (p.channels_last) pool_pixel_row(p, from, od, oh, to, codes);
      else pool_plane_row(p, from, od, oh, to, codes);
      if (p.index == Index::i32)
        places(p, of_tap, od, oh, pitch, codes, static_cast<std::int32_t*>(indices) + r * width);
      if (p.index == Index::i64)
        places(p, of_tap, od, oh, pitch, codes, static_cast<std::int64_t*>(indices) + r * width);
    }
  });
}

}  // namespace pyseg::max_unpool
