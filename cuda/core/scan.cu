// Exclusive prefix sums: a row is cut into at most 256 chunks, one block each. A first kernel sums the chunks (left out
// where one chunk is all), a second adds up the chunks before its own and scans. Integer sums, so the order cannot
// show.
//
// What bounds it: latency. A row of 2,048 takes one block one step; only beyond 500,000 do chunks take more than one.
#include "core/scan.cuh"

#include "core/launch.cuh"

namespace pyseg::cuda {
namespace {

constexpr int kItems = 8;  // of a thread and step
constexpr int kStep = kThreads * kItems;
constexpr int kMaxChunks = kThreads;  // their sums are added by the threads of one block
constexpr int kWarps = kThreads / 32;

struct Chunks {
  std::int64_t n, size;  // of a row; of a chunk, a multiple of kStep
  std::int64_t count() const { return (n + size - 1) / size; }
};

Chunks chunks_of(std::int64_t n) {
  const std::int64_t steps = (n + kStep - 1) / kStep;
  return {n, (steps + kMaxChunks - 1) / kMaxChunks * kStep};
}

// The sum over the threads before this one; `total` over all of them.
__device__ int before_me(int value, int& total) {
  __shared__ int warps[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  int sum = value;
  for (int by = 1; by < 32; by *= 2) {
    const int other = __shfl_up_sync(kFullWarp, sum, by);
    if (lane >= by) sum += other;
  }
  if (lane == 31) warps[warp] = sum;
  __syncthreads();
  int base = 0;
  total = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) base += warps[w];
    total += warps[w];
  }
  __syncthreads();
  return base + sum - value;
}

__global__ void sum_chunks(const std::int32_t* in, std::int32_t* sums, Chunks chunks) {
  const std::int32_t* row = in + blockIdx.y * chunks.n;
  const std::int64_t begin = blockIdx.x * chunks.size, end = min(chunks.n, begin + chunks.size);
  int sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) sum += row[i];
  int total;
  before_me(sum, total);
  if (threadIdx.x == 0) sums[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = total;
}

__global__ void scan_chunks(const std::int32_t* in, std::int32_t* out, const std::int32_t* sums, Chunks chunks) {
  const std::int32_t* row = in + blockIdx.y * chunks.n;
  std::int32_t* to = out + blockIdx.y * (chunks.n + 1);
  int base;
  before_me(threadIdx.x < blockIdx.x ? sums[std::int64_t{blockIdx.y} * gridDim.x + threadIdx.x] : 0, base);
  const std::int64_t begin = blockIdx.x * chunks.size, end = min(chunks.n, begin + chunks.size);
  for (std::int64_t step = begin; step < end; step += kStep) {
    const std::int64_t first = step + std::int64_t{threadIdx.x} * kItems;
    int value[kItems], sum = 0;
    for (int i = 0; i < kItems; ++i) {
      value[i] = first + i < end ? row[first + i] : 0;
      sum += value[i];
    }
    int total, at = base + before_me(sum, total);
    for (int i = 0; i < kItems; ++i) {
      if (first + i < end) to[first + i] = at;
      at += value[i];
    }
    base += total;
  }
  if (end == chunks.n && threadIdx.x == 0) to[chunks.n] = base;
}

}  // namespace

std::int64_t scan_scratch(std::int64_t n, std::int64_t rows) { return rows * chunks_of(n).count(); }

cudaError_t exclusive_scan(const std::int32_t* in, std::int32_t* out, std::int64_t n, std::int64_t rows,
                           std::int32_t* scratch, cudaStream_t stream) {
  const Chunks chunks = chunks_of(n);
  const dim3 grid(static_cast<unsigned>(chunks.count()), static_cast<unsigned>(rows));
  if (grid.x > 1) {
    CUDA_LAUNCH(sum_chunks, grid, kThreads, 0, stream, in, scratch, chunks);
    PYSEG_CUDA_TRY(cudaGetLastError());
  }
  CUDA_LAUNCH(scan_chunks, grid, kThreads, 0, stream, in, out, scratch, chunks);
  return cudaGetLastError();
}

}  // namespace pyseg::cuda
