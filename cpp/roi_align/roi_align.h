// RoIAlign (He, Gkioxari, Dollar, Girshick, "Mask R-CNN", ICCV 2017, section 3): bilinear samples of feature maps on a
// regular grid within each box, averaged over each bin of the output. torchvision's arithmetic, operation by operation,
// so that float32 and float64 results, forward and backward, are the same as its CPU kernels', bit for bit.
//
// The grid is a product: a sample's row depends on the bin's row alone, its columns on the bin's column. So a box is
// planned as two short lists (plan.h), of rows and of columns, and samples outside the map, which count 0, are left
// out of them; however large a box is, its lists are as long as the map at most, times the samples a pixel.
//
// Layout: inner loops run over channels, which is what maps in channels_last order have side by side. Of others, a
// group of 64 bytes of channels at a time is turned around into scratch memory [H W][group], but only in blocks of 16
// pixels that some box reads; it stays in the cache while all boxes are computed, and results are turned back.
//
// What bounds it: 4 cache lines, 8 products and 4 sums a sample and group of channels; with few boxes on a large map in
// the order of planes, reading that map once.
#pragma once

#include <cstdint>

#include "core/parallel.h"

namespace pyseg::roi_align {

enum class Number : int { f16, bf16, f32, f64 };

inline std::int64_t size_of(Number number) { return number == Number::f64 ? 8 : number == Number::f32 ? 4 : 2; }

// Maps [batch, channels, height, width] without gaps, in that order, or in channels_last: [batch, height, width,
// channels]. 16-bit values are computed in float32.
struct Shape {
  Number number = Number::f32;
  std::int64_t batch = 0, channels = 0, height = 0, width = 0;
  bool channels_last = false;
};

// [count, 5]: place in the batch, x1, y1, x2, y2; float64 for maps of float64, else float32.
struct Boxes {
  const void* values = nullptr;
  std::int64_t count = 0;
};

struct Options {
  std::int64_t height = 0, width = 0;  // of the output
  double scale = 1.0;                  // of the boxes, to pixels of the map
  std::int64_t sampling = 0;           // samples a bin and axis; <= 0: one a pixel, rounded up
  bool aligned = false;
};

// out [count, channels, height, width], number and order as the features'. Throws std::invalid_argument.
void roi_align(const void* features, const Shape& shape, const Boxes& boxes, const Options& options, void* out,
               const Executor& exec);

// The gradient with respect to the features, of the shape given; `gradient` [count, channels, height, width] in the
// same number and order. Sums run over the boxes in their order.
void roi_align_backward(const void* gradient, const Shape& shape, const Boxes& boxes, const Options& options, void* out,
                        const Executor& exec);

}  // namespace pyseg::roi_align
