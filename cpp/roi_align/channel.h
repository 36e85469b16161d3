// One channel of a box, for roi_align.simd.cpp: where so few samples are read that turning channels around costs more.
#pragma once

#include "roi_align/layout.h"

namespace pyseg::roi_align {
namespace {

template <typename T, typename S>
void pool_channel_of(const Box<T>& box, const S* map, std::int64_t width, std::int64_t step, S* out,
                     std::int64_t out_step) {
  for (std::int64_t i = 0; i < box.height; ++i) {
    for (std::int64_t j = 0; j < box.width; ++j) {
      T sum = 0;
      for (std::int32_t k = box.y_start[i]; k < box.y_start[i + 1]; ++k) {
        const Sample<T> y = box.y[k];
        const S *above = map + y.low * width * step, *below = map + y.high * width * step;
        for (std::int32_t m = box.x_start[j]; m < box.x_start[j + 1]; ++m) {
          const Sample<T> x = box.x[m];
          const std::int64_t left = x.low * step, right = x.high * step;
          sum += y.at_low * x.at_low * widen1(above[left]) + y.at_low * x.at_high * widen1(above[right]) +
                 y.at_high * x.at_low * widen1(below[left]) + y.at_high * x.at_high * widen1(below[right]);
        }
      }
      narrow1(sum / box.count, out[(i * box.width + j) * out_step]);
    }
  }
}

template <typename T, typename S>
void spread_channel_of(const Box<T>& box, const S* gradient, std::int64_t in_step, T* map, std::int64_t width) {
  for (std::int64_t i = 0; i < box.height; ++i) {
    for (std::int64_t j = 0; j < box.width; ++j) {
      const T g = widen1(gradient[(i * box.width + j) * in_step]);
      for (std::int32_t k = box.y_start[i]; k < box.y_start[i + 1]; ++k) {
        const Sample<T> y = box.y[k];
        T *above = map + y.low * width, *below = map + y.high * width;
        for (std::int32_t m = box.x_start[j]; m < box.x_start[j + 1]; ++m) {
          const Sample<T> x = box.x[m];
          above[x.low] += g * (y.at_low * x.at_low) / box.count;
          above[x.high] += g * (y.at_low * x.at_high) / box.count;
          below[x.low] += g * (y.at_high * x.at_low) / box.count;
          below[x.high] += g * (y.at_high * x.at_high) / box.count;
        }
      }
    }
  }
}

template <typename T>
void pool_channel(const Box<T>& box, const void* map, Number number, std::int64_t width, std::int64_t step, void* out,
                  std::int64_t out_step) {
  typed<T>(map, number, [&](auto* p) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(p)>>;
    pool_channel_of<T, S>(box, p, width, step, static_cast<S*>(out), out_step);
  });
}

template <typename T>
void spread_channel(const Box<T>& box, const void* gradient, Number number, std::int64_t in_step, T* map,
                    std::int64_t width) {
  typed<T>(gradient, number, [&](auto* p) { spread_channel_of(box, p, in_step, map, width); });
}

template <typename T>
void store_channel(const T* in, std::int64_t count, void* out, Number number, std::int64_t step) {
  typed<T>(out, number, [&](auto* p) {
    for (std::int64_t i = 0; i < count; ++i) narrow1(in[i], p[i * step]);
  });
}

}  // namespace
}  // namespace pyseg::roi_align
