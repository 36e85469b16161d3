// What the inner loops take, and the lists that drive them. Sizes and offsets are in elements.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::depthwise_conv {

constexpr int kMostOutputs = 4;  // in a block

// Outputs first, first + step, ..., `count` of them, along one axis: output r takes its tap k from line `input + (i *
// line step)`, i = r + k, where lo <= i < hi; the others are outside the image. The steps are the axis's.
struct Block {
  std::int64_t output = 0, input = 0;
  int lo = 0, hi = 0;
};

// Blocks of 1, 2, 3 and 4 outputs.
struct Blocks {
  const Block* of[kMostOutputs] = {};
  std::int64_t count[kMostOutputs] = {};
  std::int64_t output_step = 0, input_step = 0;
};

// Columns x0 .. x1 of a plane, in which only taps k0 .. k1 of a row lie inside the image.
struct Segment {
  std::int64_t x0 = 0, x1 = 0;
  std::int64_t k0 = 0, k1 = 0;
};

// A plane, or a band of its rows. `A` is the type of sums: float or double.
struct Plane {
  const void* x = nullptr;  // A: padded rows; line l is at x + l * pitch
  std::int64_t pitch = 0;
  const std::int64_t* tap = nullptr;  // where in a row the input of output column 0 is, of each column tap
  Blocks rows;
  const Segment* segments = nullptr;
  std::int64_t segment_count = 0;
  std::int64_t kh = 0, kw = 0, width = 0;
  void* y = nullptr;  // A: forward: results; grad_weight: the gradient
  std::int64_t y_pitch = 0;
  void* weight = nullptr;  // A [kh, kw]: forward: read; grad_weight: added to
  double bias = 0;
  bool relu = false;
};

// One row of outputs, channels c0 .. c0 + channels of a channels_last image. `A` is the type of sums, S the image's.
struct PixelRow {
  const void* const* x = nullptr;    // S: of each of `taps` rows inside the image, its pixel 0
  const std::int64_t* ky = nullptr;  // which tap each is
  std::int64_t taps = 0;
  std::int64_t x_pitch = 0;  // between pixels
  Blocks columns;            // `input` is a pixel of a row
  std::int64_t kh = 0, kw = 0;
  std::int64_t channels = 0, weight_pitch = 0;  // channels >= lanes
  void* y = nullptr;                            // S: results or gradient, at pixel 0
  std::int64_t y_pitch = 0;
  void* weight = nullptr;      // A [kh * kw, weight_pitch]: forward: read; grad_weight: sums
  const void* bias = nullptr;  // A
  // A second row of results (of kw 3, 5 and 7 alone), or null. Its tap of x[t] is ky[t] - 1, so that ky is 0 .. kh.
  void* below = nullptr;
  bool relu = false;
};

// Tables by kind (f32, f64, f16, bf16) where there are four, by type of sum (float, double) where there are two.

struct RowKernels {
  // Rows of `count` numbers `stride` apart, as A; one row the other way, through relu.
  void (*widen[4])(const void* from, std::int64_t row_stride, std::int64_t stride, std::int64_t rows,
                   std::int64_t count, void* to, std::int64_t pitch);
  void (*narrow[4])(const void* from, std::int64_t count, bool relu, void* to, std::int64_t stride);
  double (*sum[2])(const void* values, std::int64_t count);
};

struct PlaneKernels {
  std::int64_t lanes[2];
  void (*forward[2])(const Plane&);
  void (*weight[2])(const Plane&);
};

struct PixelKernels {
  std::int64_t lanes[2];
  void (*forward[4])(const PixelRow&);
  void (*weight[4])(const PixelRow&);
};

PYSEG_DISPATCH(RowKernels, row_kernels)
PYSEG_DISPATCH(PlaneKernels, plane_kernels)
PYSEG_DISPATCH(PixelKernels, pixel_kernels)

}  // namespace pyseg::depthwise_conv
