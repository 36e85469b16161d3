// y[o] = x[i[o]]. Codes of taps: the window's taps are compared with the code, in all lanes. Places: looked up.
#include "max_unpool/convert.h"
#include "max_unpool/windows.h"

namespace pyseg::max_unpool {

namespace {

template <typename T, typename I>
void look_up(const Problem& p, const T* large, const I* indices, T* small, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const auto end_of_plane = static_cast<std::uint64_t>(p.large_plane());
  const std::int64_t cells = p.small_plane();
  exec.run(planes * cells, grain_of(pitch), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end;) {
      const T* plane = large + i / cells * p.large_plane() * pitch;
      const std::int64_t stop = std::min(end, (i / cells + 1) * cells) * pitch;
      for (std::int64_t k = i * pitch, c = 0; k < stop; ++k) {
        const auto at = static_cast<std::uint64_t>(static_cast<std::int64_t>(indices[k]));
        if (at >= end_of_plane) bad_index(static_cast<std::int64_t>(at), p.large_plane());
        small[k] = plane[static_cast<std::int64_t>(at) * pitch + c];
        if (++c == pitch) c = 0;
      }
      i = stop / pitch;
    }
  });
}

void gather_pixels(const Problem& p, const std::byte* image, std::int64_t od, std::int64_t oh,
                   const std::uint8_t* codes, std::byte* y) {
  const RowTaps taps(p, od, oh);
  const std::int64_t pixel = p.channels * size_of(p.value);
  const auto run = kernel_table().of[static_cast<int>(p.value)].gather_pixels;
  for_windows(p, [&](std::int64_t o, std::int64_t n, const Taps& w) {
    const void* at[kMostTaps];
    int tap[kMostTaps], count = 0;
    for (int i = 0; i < taps.count; ++i)
      for (std::int64_t k = w.first; k < w.last; ++k) {
        at[count] = image + (taps.row[i] * p.large[2] + w.origin + k * p.dilation[2]) * pixel;
        tap[count++] = taps.first_tap[i] + static_cast<int>(k);
      }
    run({at, tap, count, n, p.stride[2] * p.channels, p.channels}, codes + o * p.channels, y + o * pixel);
  });
}

void gather_taps(const Problem& p, const void* large, const std::uint8_t* indices, void* small, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const std::int64_t width = p.small[2] * pitch, size = size_of(p.value);
  exec.run(planes * p.small[0] * p.small[1], grain_of(width * 4), [&](std::int64_t begin, std::int64_t end) {
    const auto run = kernel_table().of[static_cast<int>(p.value)].gather_rows;
    for_blocks(p, begin, end, [&](std::int64_t plane, std::int64_t od, std::int64_t oh, std::int64_t n) {
      const std::byte* image = at_bytes(large, plane * p.large_plane() * pitch * size);
      const std::int64_t first = ((plane * p.small[0] + od) * p.small[1] + oh) * width;
      check_codes(p, indices + first, od, oh, n);
      if (p.channels_last) {
        for (std::int64_t i = 0; i < n; ++i)
          gather_pixels(p, image, od, oh + i, indices + first + i * width, at_bytes(small, (first + i * width) * size));
        return;
      }
      const RowTaps taps(p, od, oh);
      const void* rows[kMostTaps];
      for (int i = 0; i < taps.count; ++i) rows[i] = image + taps.row[i] * p.large[2] * size;
      run({rows, taps.first_tap, taps.count, n, p.stride[1] * p.large[2], p.large[2], p.small[2], p.kernel[2],
           p.stride[2], p.padding[2], p.dilation[2]},
          indices + first, at_bytes(small, first * size));
    });
  });
}

}  // namespace

void gather(const Problem& p, const void* large, const void* indices, void* small, const Executor& exec) {
  if (p.batch * p.channels * p.small_plane() == 0) return;
  if (p.index == Index::tap) return gather_taps(p, large, static_cast<const std::uint8_t*>(indices), small, exec);
  with_value(p.value, [&](auto stored) {
    using T = typename decltype(stored)::T;
    const T* from = static_cast<const T*>(large);
    T* to = static_cast<T*>(small);
    if (p.index == Index::i32) look_up(p, from, static_cast<const std::int32_t*>(indices), to, exec);
    else look_up(p, from, static_cast<const std::int64_t*>(indices), to, exec);
  });
}

}  // namespace pyseg::max_unpool
