// The inner loops of roi_align, compiled once per instruction set.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "roi_align/roi_align.h"

namespace pyseg::roi_align {

constexpr std::int64_t kGroupBytes = 64;  // channels that are computed together: 16 of float32, 8 of float64

template <typename T>
constexpr std::int64_t kGroup = kGroupBytes / static_cast<std::int64_t>(sizeof(T));

// A sample's place along one axis: between `low` and `high`, with their weights.
template <typename T>
struct Sample {
  std::int32_t low, high;
  T at_low, at_high;
};

// A box: of bin i of the output, samples start[i] to start[i + 1].
template <typename T>
struct Box {
  const Sample<T>*y, *x;
  const std::int32_t *y_start, *x_start;
  std::int64_t height, width;  // bins
  T count;                     // what sums are divided by
};

template <typename T>
struct KernelsOf {
  // Turns `count` pixels of `channels` planes (<= kGroup) around, to out[pixel * step + channel]; missing channels are
  // 0.
  void (*gather)(const void* in, Number number, std::int64_t plane, std::int64_t count, std::int64_t channels, T* out,
                 std::int64_t step);
  // And back.
  void (*scatter)(const T* in, std::int64_t step, std::int64_t count, std::int64_t channels, void* out, Number number,
                  std::int64_t plane);
  // The same for pixels `pixel` values apart that have their channels side by side.
  void (*widen)(const void* in, Number number, std::int64_t pixel, std::int64_t count, std::int64_t channels, T* out,
                std::int64_t step);
  void (*narrow)(const T* in, std::int64_t step, std::int64_t count, std::int64_t channels, void* out, Number number,
                 std::int64_t pixel);
  // groups * kGroup channels of a box: map[(y * width + x) * step + channel] to out[bin * out_step + channel]; groups
  // is 1, 2 or 4.
  void (*pool)(const Box<T>& box, const T* map, std::int64_t width, std::int64_t step, int groups, T* out,
               std::int64_t out_step);
  // Adds the gradient, kGroup channels at gradient[bin * in_step], to map.
  void (*spread)(const Box<T>& box, const T* gradient, std::int64_t in_step, T* map, std::int64_t width,
                 std::int64_t step);
  // One channel, as it lies: map[(y * width + x) * step], out[bin * out_step].
  void (*pool_channel)(const Box<T>& box, const void* map, Number number, std::int64_t width, std::int64_t step,
                       void* out, std::int64_t out_step);
  // Adds the gradient of one channel, at gradient[bin * in_step], to map[y * width + x].
  void (*spread_channel)(const Box<T>& box, const void* gradient, Number number, std::int64_t in_step, T* map,
                         std::int64_t width);
  // `count` values to out[i * step].
  void (*store_channel)(const T* in, std::int64_t count, void* out, Number number, std::int64_t step);
};

struct Kernels {
  KernelsOf<float> f32;
  KernelsOf<double> f64;
};

PYSEG_DISPATCH(Kernels, kernels)

}  // namespace pyseg::roi_align
