// y[o] = x[i[o]]. Codes of taps: the window's taps are compared with the code, in all lanes. Places: looked up.
#include "max_unpool/convert.h"
#include "max_unpool/windows.h"

namespace pyseg::max_unpool {

namespace {

template <typename T, typename I>
void look_up(const Problem& p, const T* large, const I* indices, T* small, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const std::int64_t end_of_plane = p.large_plane(), cells = p.small_plane();
  exec.run(planes * cells, grain_of(pitch), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* plane = large + i / cells * end_of_plane * pitch;
      for (std::int64_t c = 0; c < pitch; ++c) {
        const auto at = static_cast<std::int64_t>(indices[i * pitch + c]);
        if (static_cast<std::uint64_t>(at) >= static_cast<std::uint64_t>(end_of_plane)) bad_index(at, end_of_plane);
        small[i * pitch + c] = plane[at * pitch + c];
      }
    }
  });
}

void gather_pixels(const Problem& p, const std::byte* image, const std::uint8_t* codes, std::byte* y,
                   const RowTaps& taps) {
  const std::int64_t pixel = p.channels * size_of(p.value);
  const auto run = kernel_table().of[static_cast<int>(p.value)].gather_pixel;
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
    run({at, tap, count, p.channels}, codes + o * p.channels, y + o * pixel);
  }
}

void gather_taps(const Problem& p, const void* large, const std::uint8_t* indices, void* small, const Executor& exec) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1,
                     planes = p.channels_last ? p.batch : p.batch * p.channels;
  const std::int64_t width = p.small[2] * pitch, size = size_of(p.value);
  exec.run(planes * p.small[0] * p.small[1], grain_of(width * 4), [&](std::int64_t begin, std::int64_t end) {
    const auto run = kernel_table().of[static_cast<int>(p.value)].gather_row;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t oh = r % p.small[1], od = r / p.small[1] % p.small[0], plane = r / p.small[1] / p.small[0];
      const auto* image = static_cast<const std::byte*>(large) + plane * p.large_plane() * pitch * size;
      const std::uint8_t* codes = indices + r * width;
      std::byte* y = static_cast<std::byte*>(small) + r * width * size;
      check_codes(p, codes, od, oh);
      const RowTaps taps(p, od, oh);
      if (p.channels_last) {
        gather_pixels(p, image, codes, y, taps);
        continue;
      }
      const void* rows[kMostTaps];
      for (int i = 0; i < taps.count; ++i) rows[i] = image + taps.row[i] * p.large[2] * size;
      run({rows, taps.first_tap, taps.count, p.large[2], p.small[2], p.kernel[2], p.stride[2], p.padding[2],
           p.dilation[2]},
          codes, y);
    }
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
