// Centres: seeds, given ones, means, and their sorting into cells; one thread a centre. What bounds it: launches, a few
// microseconds each.
#include "core/launch.cuh"
#include "core/scan.cuh"
#include "slic/passes.cuh"

namespace pyseg::slic::cuda {
namespace {

using pyseg::cuda::blocks_for;
using pyseg::cuda::item;
using pyseg::cuda::kThreads;

__device__ int channel_of(std::uint32_t color, int j) { return static_cast<int>(color >> (8 * j) & 255u); }

__device__ std::int32_t cell_of(const Geometry& g, const Center& c) {
  return min(max(c.y / g.cell, 0), g.cells_y - 1) * g.cells_x + min(max(c.x / g.cell, 0), g.cells_x - 1);
}

__device__ void put(const Geometry& g, const Buffers& b, const Center& c) {
  b.centers[std::int64_t{blockIdx.y} * g.clusters + c.index] = c;
  atomicAdd(&b.cell_counts[std::int64_t{blockIdx.y} * g.cells() + cell_of(g, c)], 1);
}

// The pixel of lowest gradient in 3x3 about (x, y): itself or, in raster order, the first of several.
__device__ void descend(const std::uint32_t* pixels, int width, int& x, int& y) {
  int least = 1 << 30, best_x = x, best_y = y;
  for (int turn = 0; turn < 9; ++turn) {
    const int i = turn == 0 ? 4 : turn <= 4 ? turn - 1 : turn;
    const int at_x = x + i % 3 - 1, at_y = y + i / 3 - 1;
    const std::uint32_t* p = pixels + std::int64_t{at_y} * width + at_x;
    const int gradient = static_cast<int>(__vsadu4(p[1], p[-1]) + __vsadu4(p[width], p[-width]));
    if (gradient >= least) continue;
    least = gradient;
    best_x = at_x;
    best_y = at_y;
  }
  x = best_x;
  y = best_y;
}

__global__ void place_seeds(Geometry g, Buffers b, int nx, int ny) {
  const std::int64_t k = item();
  if (k >= g.clusters) return;
  const std::uint32_t* pixels = b.pixels + std::int64_t{blockIdx.y} * g.pixels();
  auto cx = static_cast<std::int32_t>((2 * (k % nx) + 1) * g.width * kSub / (2 * nx) - kSub / 2);
  auto cy = static_cast<std::int32_t>((2 * (k / nx) + 1) * g.height * kSub / (2 * ny) - kSub / 2);
  const int x0 = (cx + kSub / 2) / kSub, y0 = (cy + kSub / 2) / kSub;
  int x = x0, y = y0;
  if (x0 >= 2 && y0 >= 2 && x0 + 2 < g.width && y0 + 2 < g.height) descend(pixels, g.width, x, y);
  put(g, b,
      {cx + (x - x0) * kSub, cy + (y - y0) * kSub, pixels[std::int64_t{y} * g.width + x],
       static_cast<std::int32_t>(k)});
}

// NaN becomes 0: nothing is read or written outside, whatever is given.
__device__ double clamp(double v, double high) { return v > 0 ? v < high ? v : high : 0; }
__device__ std::int32_t rounded(double v) { return static_cast<std::int32_t>(lround(v)); }

__global__ void place_given(Geometry g, Buffers b, const double* centers, int row_width, bool to_lab) {
  const std::int64_t k = item();
  if (k >= g.clusters) return;
  const double* row = centers + (std::int64_t{blockIdx.y} * g.clusters + k) * row_width;
  const double y = clamp(row[1], g.height - 1), x = clamp(row[2], g.width - 1);
  const std::uint32_t pixel =
      b.pixels[std::int64_t{blockIdx.y} * g.pixels() + std::int64_t{rounded(y)} * g.width + rounded(x)];
  std::uint32_t color = 0;
  for (int j = 0; j < 3; ++j) {
    const double zero = to_lab && j > 0 ? 128.0 : 0.0;
    const int value = j + 3 < row_width ? rounded(clamp(2.0 * row[3 + j] + zero, 255.0)) : channel_of(pixel, j);
    color |= static_cast<std::uint32_t>(value) << (8 * j);
  }
  put(g, b, {rounded(x * kSub), rounded(y * kSub), color, static_cast<std::int32_t>(k)});
}

// Means are rounded half up; centres without a pixel stay. In doubles, as on the CPU: exact (see cpp/slic).
__global__ void move_centers(Geometry g, Buffers b) {
  const std::int64_t k = item();
  if (k >= g.clusters) return;
  Center c = b.centers[std::int64_t{blockIdx.y} * g.clusters + k];
  std::uint64_t* sums = b.sums + (std::int64_t{blockIdx.y} * g.clusters + k) * kFields;
  std::int64_t sum[kFields];
  for (int f = 0; f < kFields; ++f) {
    sum[f] = static_cast<std::int64_t>(sums[f]);
    sums[f] = 0;
  }
  const std::int64_t count = sum[0];
  if (count > 0) {
    const double twice = static_cast<double>(2 * count);
    const auto mean = [&](std::int64_t s) {
      return static_cast<std::int32_t>(static_cast<double>(2 * s + count) / twice);
    };
    const std::int32_t x = mean(sum[4] * kSub), y = mean(sum[5] * kSub);
    const std::uint64_t moved = static_cast<std::uint64_t>(abs(x - c.x)) + static_cast<std::uint64_t>(abs(y - c.y));
    if (moved > 0)
      atomicAdd(reinterpret_cast<unsigned long long*>(b.moved + blockIdx.y), static_cast<unsigned long long>(moved));
    c.x = x;
    c.y = y;
    c.color = 0;
    for (int j = 0; j < 3; ++j) c.color |= static_cast<std::uint32_t>(mean(sum[1 + j])) << (8 * j);
  }
  put(g, b, c);
}

// One thread an image.
__global__ void settle(Buffers b, double rest) {
  if (static_cast<double>(b.moved[blockIdx.y]) <= rest) b.at_rest[blockIdx.y] = 1;
  b.moved[blockIdx.y] = 0;
}

// Counting sort: each centre takes the last free place of its cell, and the counts fall back to zero.
__global__ void sort_centers(Geometry g, Buffers b) {
  const std::int64_t k = item();
  if (k >= g.clusters) return;
  const Center c = b.centers[std::int64_t{blockIdx.y} * g.clusters + k];
  const std::int32_t cell = cell_of(g, c);
  const std::int32_t at = b.cell_starts[std::int64_t{blockIdx.y} * (g.cells() + 1) + cell] +
                          atomicAdd(&b.cell_counts[std::int64_t{blockIdx.y} * g.cells() + cell], -1) - 1;
  b.bins[std::int64_t{blockIdx.y} * g.clusters + at] = c;
}

}  // namespace

cudaError_t place(const Plan& plan, const Buffers& buffers, cudaStream_t stream) {
  const Geometry g(plan);
  const dim3 grid = blocks_for(g.clusters, plan.images());
  if (plan.center_width > 0)
    CUDA_LAUNCH(place_given, grid, kThreads, 0, stream, g, buffers, plan.centers, plan.center_width, plan.to_lab);
  else CUDA_LAUNCH(place_seeds, grid, kThreads, 0, stream, g, buffers, plan.seeds_x, plan.seeds_y);
  return cudaGetLastError();
}

cudaError_t sort(const Plan& plan, const Buffers& buffers, cudaStream_t stream) {
  const Geometry g(plan);
  PYSEG_CUDA_TRY(pyseg::cuda::exclusive_scan(buffers.cell_counts, buffers.cell_starts, g.cells(), plan.images(),
                                             buffers.scratch, stream));
  CUDA_LAUNCH(sort_centers, blocks_for(g.clusters, plan.images()), kThreads, 0, stream, g, buffers);
  return cudaGetLastError();
}

cudaError_t move(const Plan& plan, const Buffers& buffers, cudaStream_t stream) {
  const Geometry g(plan);
  CUDA_LAUNCH(move_centers, blocks_for(g.clusters, plan.images()), kThreads, 0, stream, g, buffers);
  PYSEG_CUDA_TRY(cudaGetLastError());
  if (plan.rest < 0) return cudaSuccess;
  CUDA_LAUNCH(settle, blocks_for(1, plan.images(), 1), 1, 0, stream, buffers, plan.rest);
  return cudaGetLastError();
}

}  // namespace pyseg::slic::cuda
