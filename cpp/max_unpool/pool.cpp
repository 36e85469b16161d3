// Maxima and where they stood. A task is a pooled row: along the row of a plane, or pixel by pixel along the channels.
// Codes of taps are what the kernels know; places in the plane are made of a row's codes while those are in the cache.
#include <memory>

#include "core/workspace.h"
#include "max_unpool/convert.h"
#include "max_unpool/windows.h"

namespace pyseg::max_unpool {

namespace {

constexpr std::int64_t kBlockBytes = 4096;

void pool_plane(const Problem& p, const std::byte* plane, std::int64_t od, std::int64_t oh, std::int64_t n,
                std::byte* y, std::uint8_t* codes) {
  const RowTaps taps(p, od, oh);
  const void* rows[kMostTaps];
  for (int i = 0; i < taps.count; ++i) rows[i] = plane + taps.row[i] * p.large[2] * size_of(p.value);
  kernel_table().of[static_cast<int>(p.value)].pool_rows(
      {rows, taps.first_tap, taps.count, n, p.stride[1] * p.large[2], p.large[2], p.small[2], p.kernel[2], p.stride[2],
       p.padding[2], p.dilation[2]},
      y, codes);
}

void pool_pixels(const Problem& p, const std::byte* image, std::int64_t od, std::int64_t oh, std::byte* y,
                 std::uint8_t* codes) {
  const RowTaps taps(p, od, oh);
  const std::int64_t pixel = p.channels * size_of(p.value);
  const auto run = kernel_table().of[static_cast<int>(p.value)].pool_pixels;
  for_windows(p, [&](std::int64_t o, std::int64_t n, const Taps& w) {
    const void* at[kMostTaps];
    int tap[kMostTaps], count = 0;
    for (int i = 0; i < taps.count; ++i)
      for (std::int64_t k = w.first; k < w.last; ++k) {
        at[count] = image + (taps.row[i] * p.large[2] + w.origin + k * p.dilation[2]) * pixel;
        tap[count++] = taps.first_tap[i] + static_cast<int>(k);
      }
    run({at, tap, count, n, p.stride[2] * p.channels, p.channels}, y + o * pixel, codes + o * p.channels);
  });
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

void pool(const Problem& p, const void* x_, void* y, void* indices, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const std::int64_t rows = planes * p.small[0] * p.small[1], width = p.small[2] * pitch;
  if (rows == 0 || width == 0) return;
  const std::int64_t grain = grain_of(width * std::min<std::int64_t>(p.taps(), 16));
  if (p.taps() > kMostTaps) {
    with_value(p.value, [&](auto stored) {
      using S = decltype(stored);
      exec.run(rows, grain, [&](std::int64_t begin, std::int64_t end) {
        if (p.index == Index::i32) pool_any<S, std::int32_t>(p, x_, y, indices, begin, end);
        else pool_any<S, std::int64_t>(p, x_, y, indices, begin, end);
      });
    });
    return;
  }
  std::int64_t of_tap[kMostTaps];
  tap_places(p, of_tap);
  const std::int64_t size = size_of(p.value), index_size = size_of(p.index);
  exec.run(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch<std::uint8_t> scratch;
    const std::int64_t most = std::max<std::int64_t>(1, kBlockBytes / width);  // rows whose codes stay in the cache
    std::uint8_t* own = p.index == Index::tap ? nullptr : scratch.take(std::min(most, p.small[1]) * width);
    for_blocks(p, begin, end, [&](std::int64_t plane, std::int64_t od, std::int64_t oh, std::int64_t n) {
      const std::byte* x = at_bytes(x_, plane * p.large_plane() * pitch * size);
      const std::int64_t first = (plane * p.small[0] + od) * p.small[1];
      const std::int64_t step = p.channels_last ? 1 : own != nullptr ? most : n;
      for (std::int64_t h = oh; h < oh + n; h += step) {
        const std::int64_t row = (first + h) * width, count = std::min(step, oh + n - h);
        std::uint8_t* codes = own != nullptr ? own : static_cast<std::uint8_t*>(indices) + row;
        if (p.channels_last) pool_pixels(p, x, od, h, at_bytes(y, row * size), codes);
        else pool_plane(p, x, od, h, count, at_bytes(y, row * size), codes);
        for (std::int64_t i = 0; own != nullptr && i < count; ++i)
          kernel_table().decode(codes + i * width, p.small[2], pitch, row_origin(p, od, h + i), p.stride[2], of_tap,
                                static_cast<int>(p.taps()), at_bytes(indices, (row + i * width) * index_size),
                                p.index == Index::i64);
      }
    });
  });
}

}  // namespace pyseg::max_unpool
