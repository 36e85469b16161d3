// Small components join a neighbour, round by round, and the labels are written. See connectivity.cuh for the state
// word.
//
// What bounds it: each of the first rounds reads the image's roots once, and gathers states at the components' borders.
// The rest is breadth first, so that each component's pixels are read once however many rounds it takes; one block an
// image does it, at the latency of a few dependent reads a round. Noise with no kept component at all is the worst
// case: rounds as many as the image is wide, for milliseconds.
#include "connectivity/connectivity.cuh"
#include "core/launch.cuh"
#include "core/scan.cuh"

namespace pyseg::connectivity::cuda {
namespace {

using pyseg::cuda::blocks_for;
using pyseg::cuda::fresh;
using pyseg::cuda::item;
using pyseg::cuda::kThreads;

constexpr int kRounds = 3;         // by all blocks; photographs need two or three
constexpr int kRestThreads = 512;  // of the block that does the rest
constexpr std::uint64_t kUnsettled = ~std::uint64_t{0};

// One image's components.
struct Map {
  const std::int32_t *root, *cluster, *order;
  const std::uint32_t* color;  // of clusters
  std::uint64_t* state;        // at roots
  int height, width, stride;

  __device__ std::uint32_t color_of(std::int32_t at) const { return color[std::int64_t{cluster[at]} * stride]; }
};

__device__ Map map_of(const Batch& batch, const Workspace& work, const Colors& colors, const std::int32_t* clusters) {
  const std::int64_t first = std::int64_t{blockIdx.y} * batch.pixels();
  return {work.parent + first, clusters + first,
          work.order + first,  colors.words + std::int64_t{blockIdx.y} * batch.clusters * colors.stride,
          work.state + first,  batch.height,
          batch.width,         colors.stride};
}

__device__ std::int32_t number_of(std::uint64_t state) { return static_cast<std::int32_t>(state & 0x7fffffffu); }
__device__ bool settled_before(std::uint64_t state, unsigned round) { return state >> 41 < round; }

// Offers the small component at `root`, last seen in state `seen`, the superpixel that `state` belongs to; true for the
// first offer it gets.
__device__ bool offer(const Map& map, std::int32_t root, std::uint64_t seen, std::uint64_t state, unsigned round) {
  const std::int32_t number = number_of(state);
  const std::uint64_t distance = __vsadu4(map.color_of(root), map.color_of(map.order[number]));
  const std::uint64_t key =
      static_cast<std::uint64_t>(round) << 41 | distance << 31 | static_cast<std::uint32_t>(number);
  return key < seen && atomicMin(reinterpret_cast<unsigned long long*>(map.state + root),
                                 static_cast<unsigned long long>(key)) == kUnsettled;
}

// Calls visit(root) for the components of p's neighbours.
template <typename Visit>
__device__ void each_neighbour(const Map& map, std::int32_t p, Visit visit) {
  const int x = p % map.width, y = p / map.width;
  if (x > 0) visit(map.root[p - 1]);
  if (x + 1 < map.width) visit(map.root[p + 1]);
  if (y > 0) visit(map.root[p - map.width]);
  if (y + 1 < map.height) visit(map.root[p + map.width]);
}

// One round over all pixels: each with its right and its lower neighbour.
__global__ void absorb_round(Batch batch, Workspace work, Colors colors, const std::int32_t* clusters, unsigned round) {
  const std::int64_t i = item();
  if (i >= batch.pixels()) return;
  const Map map = map_of(batch, work, colors, clusters);
  const auto p = static_cast<std::int32_t>(i);
  const std::int32_t a = map.root[p];
  const auto meet = [&](std::int32_t b) {
    if (a == b) return;
    const std::uint64_t of_a = fresh(map.state + a), of_b = fresh(map.state + b);
    const bool a_settled = settled_before(of_a, round), b_settled = settled_before(of_b, round);
    if (a_settled && !b_settled) offer(map, b, of_b, of_a, round);
    if (b_settled && !a_settled) offer(map, a, of_a, of_b, round);
  };
  if (p % map.width + 1 < map.width) meet(map.root[p + 1]);
  if (p / map.width + 1 < map.height) meet(map.root[p + map.width]);
}

// Reserves the places of unsettled components' pixels in `members`.
__global__ void reserve_open(Batch batch, Workspace work) {
  const std::int64_t p = item(), at = std::int64_t{blockIdx.y} * batch.pixels() + p;
  if (p >= batch.pixels() || work.parent[at] != p || work.state[at] != kUnsettled) return;
  work.ends[at] = atomicAdd(&work.open[blockIdx.y], work.size[at]);
}

__global__ void gather_open(Batch batch, Workspace work) {
  const std::int64_t p = item(), first = std::int64_t{blockIdx.y} * batch.pixels();
  if (p >= batch.pixels() || work.open[blockIdx.y] == 0) return;
  const std::int32_t root = work.parent[first + p];
  if (work.state[first + root] != kUnsettled) return;
  work.members[first + atomicAdd(&work.ends[first + root], 1)] = static_cast<std::int32_t>(p);
}

// The rounds from `round` on. A component enters the queue with its first offer, and offers in the next round.
__global__ void absorb_rest(Batch batch, Workspace work, Colors colors, const std::int32_t* clusters, unsigned round) {
  __shared__ int tail;
  const int open = work.open[blockIdx.y];
  if (open == 0) return;
  const Map map = map_of(batch, work, colors, clusters);
  const std::int64_t first = std::int64_t{blockIdx.y} * batch.pixels();
  const std::int32_t *members = work.members + first, *ends = work.ends + first, *size = work.size + first;
  std::int32_t* queue = work.queue + first;
  if (threadIdx.x == 0) tail = 0;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < open; i += kRestThreads) {
    const std::int32_t a = map.root[members[i]];
    each_neighbour(map, members[i], [&](std::int32_t b) {
      const std::uint64_t state = fresh(map.state + b);
      if (settled_before(state, round) && offer(map, a, fresh(map.state + a), state, round))
        queue[atomicAdd(&tail, 1)] = a;
    });
  }
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int begin = 0, end = tail; begin < end;) {
    ++round;
    __syncthreads();  // all have read tail
    for (int i = begin + warp; i < end; i += kRestThreads / 32) {
      const std::int32_t a = fresh(queue + i);
      const std::uint64_t state = fresh(map.state + a);
      for (int j = ends[a] - size[a] + lane; j < ends[a]; j += 32)
        each_neighbour(map, members[j], [&](std::int32_t b) {
          const std::uint64_t seen = fresh(map.state + b);
          if (!settled_before(seen, round) && offer(map, b, seen, state, round)) queue[atomicAdd(&tail, 1)] = b;
        });
    }
    __syncthreads();
    begin = end;
    end = tail;
  }
}

__global__ void write_labels(Batch batch, Workspace work, std::int32_t start_label, std::int32_t* labels,
                             std::int64_t* count) {
  const std::int64_t p = item(), first = std::int64_t{blockIdx.y} * batch.pixels();
  if (p >= batch.pixels()) return;
  labels[first + p] = start_label + number_of(work.state[first + work.parent[first + p]]);
  if (p == 0) count[blockIdx.y] = work.starts[(blockIdx.y + std::int64_t{1}) * (batch.clusters + 1) - 1];
}

__global__ void write_clusters(Batch batch, Workspace work, std::int32_t start_label, std::int32_t* labels,
                               std::int64_t* count) {
  const std::int64_t p = item();
  if (p >= batch.pixels()) return;
  const std::int32_t* starts = work.starts + std::int64_t{blockIdx.y} * (batch.clusters + 1);
  std::int32_t& label = labels[std::int64_t{blockIdx.y} * batch.pixels() + p];
  label = start_label + starts[label];
  if (p == 0) count[blockIdx.y] = starts[batch.clusters];
}

}  // namespace

cudaError_t absorb(const Batch& batch, const Workspace& work, const Colors& colors, const std::int32_t* clusters,
                   cudaStream_t stream) {
  const dim3 grid = blocks_for(batch.pixels(), batch.images);
  unsigned round = 1;
  for (; round <= kRounds; ++round) {
    CUDA_LAUNCH(absorb_round, grid, kThreads, 0, stream, batch, work, colors, clusters, round);
    PYSEG_CUDA_TRY(cudaGetLastError());
  }
  CUDA_LAUNCH(reserve_open, grid, kThreads, 0, stream, batch, work);
  PYSEG_CUDA_TRY(cudaGetLastError());
  CUDA_LAUNCH(gather_open, grid, kThreads, 0, stream, batch, work);
  PYSEG_CUDA_TRY(cudaGetLastError());
  CUDA_LAUNCH(absorb_rest, blocks_for(1, batch.images, 1), kRestThreads, 0, stream, batch, work, colors, clusters,
              round);
  return cudaGetLastError();
}

cudaError_t finish(const Batch& batch, const Workspace& work, const Colors& colors, std::int64_t min_size,
                   std::int32_t start_label, std::int32_t* labels, std::int64_t* count, cudaStream_t stream) {
  PYSEG_CUDA_TRY(join(batch, work, labels, stream));
  PYSEG_CUDA_TRY(number(batch, work, labels, min_size, stream));
  PYSEG_CUDA_TRY(absorb(batch, work, colors, labels, stream));
  CUDA_LAUNCH(write_labels, blocks_for(batch.pixels(), batch.images), kThreads, 0, stream, batch, work, start_label,
              labels, count);
  return cudaGetLastError();
}

cudaError_t finish_clusters(const Batch& batch, const Workspace& work, std::int32_t start_label, std::int32_t* labels,
                            std::int64_t* count, cudaStream_t stream) {
  PYSEG_CUDA_TRY(
      pyseg::cuda::exclusive_scan(work.counts, work.starts, batch.clusters, batch.images, work.scratch, stream));
  CUDA_LAUNCH(write_clusters, blocks_for(batch.pixels(), batch.images), kThreads, 0, stream, batch, work, start_label,
              labels, count);
  return cudaGetLastError();
}

}  // namespace pyseg::connectivity::cuda
