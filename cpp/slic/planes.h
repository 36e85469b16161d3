// SLIC on float32 planes: any dtype, any number of channels, volumes, masks, SLICO, spacing.
//
// The image is cut into tiles of 16x16 pixels of one slice, [channels, 256] floats each, in the order of bytes.h: pixel
// (x, y) in block (y - x) % 4, row y / 4, so that a sampled pass reads a quarter of the memory. The distance of a pixel
// to centre k is
//     w_k (|p_0 - c_0| + |p_1 - c_1| + ...) + ((sz + sy) + sx),   sx = |x - cx| * W_x,
// in float32, in this order and without contraction, so that instruction sets agree; w_k is 1, or in SLICO 1 / the
// largest colour distance among the cluster's pixels of the pass before. Sums are integers (colours in fixed point,
// scaled by a power of two to 26 bits), so that threads agree.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace pyseg::slic {

constexpr int kSide = 16, kArea = kSide * kSide;

// Where pixel (x, y) of a tile is, and which row of the tile place i is of; its column is i % 16.
inline int place_of(int x, int y) { return ((y - x) & 3) * 64 + (y >> 2) * 16 + x; }
inline int row_of(int i) { return (i >> 4 & 3) * 4 + (((i >> 6) + i) & 3); }

struct PlaneGrid {
  std::int64_t depth, height, width, tiles_x, tiles_y, channels;
  float reach[3];   // z, y, x, in pixels
  float weight[3];  // z, y, x, per pixel

  std::int64_t rows() const { return depth * tiles_y; }
};

struct PlaneCenter {
  float at[3];   // z, y, x
  float weight;  // of colour
};

// A centre as one row of tiles sees it.
struct PlaneCandidate {
  float dzy[4 * kSide];  // spatial term of row 4 j + (b + i) % 4 at 16 b + 4 j + i: of columns i, i + 4, ... of block b
  const float* color;
  std::int32_t center, x0, x1;  // tiles
  float x, weight;
};

struct PlaneKernels {
  // The nearest of `count` candidates for the pixels of a block (negative: of all four): place [kArea], in the tile's
  // order, is their place in the list.
  void (*assign)(const float* tile, std::int64_t channels, const PlaneCandidate* candidates, const std::int32_t* list,
                 int count, float x0, float weight_x, int block, std::uint8_t* place);
  // Rows of float32 from other types: 255 or 65535 become 1, floats stay. `step` in bytes.
  void (*convert)(const std::byte* in, int dtype, std::int64_t step, std::int64_t count, float* out);
  // out[i] = sum_j in[i + j] kernel[j], `in` padded: one row of a separable filter; rows[j] for the other axes.
  void (*blend)(const float* const* rows, const float* kernel, int taps, std::int64_t count, float* out);
  // Scales by `factor`, gives the largest magnitude; infinite or NaN where a value is.
  float (*scale)(float* values, std::int64_t count, float factor);
};

PYSEG_DISPATCH(PlaneKernels, plane_kernels)

}  // namespace pyseg::slic
