// The steps of SLIC on the device, each a launcher; slic.cu calls them in order.
//
// Layout: `pixels` is one word a pixel, L | a << 8 | b << 16 at twice their value (a and b about 128), in raster order.
// A centre is four words. For a pass, centres are binned by square cells of the window's reach (at least a tile) by
// counting sort, so that the centres near a tile are a few contiguous runs of `bins`. Their order within a cell is the
// scheduler's, and does not show: the nearest centre is the least of (distance, index).
#pragma once

#include <cstdint>

#include "connectivity/connectivity.cuh"
#include "core/launch.cuh"
#include "slic/bytes.h"
#include "slic/slic.cuh"

namespace pyseg::slic::cuda {

struct alignas(16) Center {
  std::int32_t x, y;  // 1/16 pixel
  std::uint32_t color;
  std::int32_t index;
};

constexpr int kFields = 6;  // of a centre's sums: count, L, a, b, x, y

struct Geometry {
  std::int32_t height, width, tiles_x, tiles_y;
  std::int32_t reach, weight, cell, cells_x, cells_y;  // positions in 1/16 pixel
  std::int32_t clusters;

  explicit Geometry(const Plan& plan);
  __host__ __device__ std::int32_t pixels() const { return height * width; }
  __host__ __device__ std::int32_t cells() const { return cells_x * cells_y; }
};

// All for a batch: [images, ...].
struct Buffers {
  std::uint64_t* sums;        // [clusters, kFields] zero between passes
  std::int32_t* cell_counts;  // [cells] zero but between counting and sorting
  std::uint64_t* moved;       // 1/16 pixel, of the pass
  std::int32_t* at_rest;      // not zero: the image has come to rest
  std::int64_t zeroed;        // bytes from `sums` on that must be zero
  std::int32_t* cell_starts;  // [cells + 1]
  Center* centers;            // [clusters]
  Center* bins;               // [clusters] by cell
  std::int32_t* scratch;      // of the scan
  std::uint32_t* pixels;
  connectivity::cuda::Workspace components;

  static Buffers take(pyseg::cuda::Arena& arena, const Plan& plan);
};

connectivity::cuda::Batch batch_of(const Plan& plan);

// `spare` has room for as many words as `pixels`.
cudaError_t load(const Plan& plan, const std::uint8_t* image, const Strides& strides, std::uint32_t* pixels,
                 std::uint32_t* spare, cudaStream_t stream);
// First centres, counted by cell.
cudaError_t place(const Plan& plan, const Buffers& buffers, cudaStream_t stream);
// Centres to bins.
cudaError_t sort(const Plan& plan, const Buffers& buffers, cudaStream_t stream);
// Sums of the nearest centres: over the pixels with (y - x) mod 4 = phase, or over all where it is negative.
cudaError_t assign(const Plan& plan, const Buffers& buffers, int phase, cudaStream_t stream);
// Centres to the means of their pixels, counted by cell; where rest >= 0, notes the images that have come to rest.
cudaError_t move(const Plan& plan, const Buffers& buffers, cudaStream_t stream);
// The nearest centre of every pixel, into `clusters`; tiles' components, or which clusters have a pixel.
cudaError_t label(const Plan& plan, const Buffers& buffers, std::int32_t* clusters, cudaStream_t stream);

}  // namespace pyseg::slic::cuda
