// Tiles' components to components of the image, and the numbers of those that are kept. See connectivity.cuh.
//
// What bounds it: latency of scattered reads; each kernel reads the pixels' parents once. Ranks within a cluster are
// counted, which is quadratic in its kept components: of these there is nearly always one, and many only where min_size
// is near 0.
#include "connectivity/connectivity.cuh"
#include "connectivity/union_find.cuh"
#include "core/launch.cuh"
#include "core/scan.cuh"

namespace pyseg::connectivity::cuda {
namespace {

using pyseg::cuda::blocks_for;
using pyseg::cuda::fresh;
using pyseg::cuda::item;
using pyseg::cuda::kThreads;

// The image's part of an array.
template <typename T>
__device__ T* of_image(T* all, std::int32_t each) {
  return all + std::int64_t{blockIdx.y} * each;
}

// Pairs of pixels across the tiles' borders: first those of the vertical seams, then those of the horizontal ones.
__global__ void join_seams(const std::int32_t* clusters, std::int32_t* parent, int height, int width, int tile) {
  const std::int64_t vertical = std::int64_t{(width - 1) / tile} * height;
  const std::int64_t i = item();
  if (i >= vertical + std::int64_t{(height - 1) / tile} * width) return;
  const std::int32_t* cluster = of_image(clusters, height * width);
  const bool across = i < vertical;
  const int x = static_cast<int>(across ? (i / height + 1) * tile : (i - vertical) % width);
  const int y = static_cast<int>(across ? i % height : ((i - vertical) / width + 1) * tile);
  const std::int32_t here = y * width + x, there = here - (across ? 1 : width), along = across ? width : 1;
  const std::int32_t c = cluster[here];
  if (cluster[there] != c) return;
  // The pair before it on the same tiles' seam, of the same cluster, says the same.
  if ((across ? y : x) % tile > 0 && cluster[here - along] == c && cluster[there - along] == c) return;
  unite(of_image(parent, height * width), here, there);
}

// Every pixel's root; a root's size becomes its component's.
__global__ void measure(std::int32_t* parents, std::int32_t* sizes, std::int32_t pixels) {
  const std::int64_t i = item();
  if (i >= pixels) return;
  const auto p = static_cast<std::int32_t>(i);
  std::int32_t *parent = of_image(parents, pixels), *size = of_image(sizes, pixels);
  const std::int32_t root = find(parent, p);
  if (root == p) return;
  *static_cast<volatile std::int32_t*>(parent + p) = root;  // others may be climbing through it
  if (size[p] > 0) atomicAdd(&size[root], size[p]);         // nobody adds to what is not a root
}

struct Sizes {
  const std::int32_t *parent, *size, *cluster;
  std::int32_t pixels, clusters;
  std::int64_t min_size;
};

// Counts the kept components of each cluster and finds the largest component.
__global__ void count_kept(Sizes s, std::int32_t* counts, std::uint64_t* largest) {
  const std::int64_t p = item();
  if (p >= s.pixels || of_image(s.parent, s.pixels)[p] != p) return;
  const std::int32_t size = of_image(s.size, s.pixels)[p];
  if (size >= s.min_size) atomicAdd(&of_image(counts, s.clusters)[of_image(s.cluster, s.pixels)[p]], 1);
  const std::uint64_t rank = static_cast<std::uint64_t>(size) << 32 | ~static_cast<std::uint32_t>(p);
  if (rank > fresh(largest + blockIdx.y))
    atomicMax(reinterpret_cast<unsigned long long*>(largest + blockIdx.y), static_cast<unsigned long long>(rank));
}

__device__ std::int32_t first_of(std::uint64_t largest) {
  return static_cast<std::int32_t>(~static_cast<std::uint32_t>(largest));
}

// Where every component is small, the largest (ties: first) is kept. One thread an image.
__global__ void keep_largest(Sizes s, std::int32_t* counts, const std::uint64_t* largest) {
  const std::uint64_t l = largest[blockIdx.y];
  if (static_cast<std::int64_t>(l >> 32) >= s.min_size) return;
  of_image(counts, s.clusters)[of_image(s.cluster, s.pixels)[first_of(l)]] = 1;
}

__device__ bool is_kept(const Sizes& s, std::uint64_t largest, std::int64_t root) {
  return of_image(s.size, s.pixels)[root] >= s.min_size ||
         (static_cast<std::int64_t>(largest >> 32) < s.min_size && first_of(largest) == root);
}

// Kept roots to their cluster's places in `members`, in any order; counts fall back to zero.
__global__ void gather_kept(Sizes s, const std::uint64_t* largest, const std::int32_t* starts, std::int32_t* counts,
                            std::int32_t* members) {
  const std::int64_t p = item();
  if (p >= s.pixels || of_image(s.parent, s.pixels)[p] != p || !is_kept(s, largest[blockIdx.y], p)) return;
  const std::int32_t c = of_image(s.cluster, s.pixels)[p];
  const std::int32_t at = of_image(starts, s.clusters + 1)[c] + atomicAdd(&of_image(counts, s.clusters)[c], -1) - 1;
  of_image(members, s.pixels)[at] = static_cast<std::int32_t>(p);
}

// A kept root's number: its cluster's first one, and the cluster's roots before it.
__global__ void rank_kept(Sizes s, const std::uint64_t* largest, const std::int32_t* starts,
                          const std::int32_t* members, std::uint64_t* state, std::int32_t* order) {
  const std::int64_t p = item();
  if (p >= s.pixels || of_image(s.parent, s.pixels)[p] != p) return;
  std::uint64_t& mine = of_image(state, s.pixels)[p];
  mine = ~std::uint64_t{0};
  if (!is_kept(s, largest[blockIdx.y], p)) return;
  const std::int32_t c = of_image(s.cluster, s.pixels)[p];
  const std::int32_t *start = of_image(starts, s.clusters + 1), *roots = of_image(members, s.pixels);
  std::int32_t number = start[c];
  for (std::int32_t j = start[c]; j < start[c + 1]; ++j) number += roots[j] < p;
  mine = static_cast<std::uint64_t>(number);
  of_image(order, s.pixels)[number] = static_cast<std::int32_t>(p);
}

}  // namespace

Workspace Workspace::take(pyseg::cuda::Arena& arena, const Batch& batch, bool connect) {
  const std::int64_t all = connect ? batch.all_pixels() : 0, images = batch.images, clusters = batch.clusters;
  Workspace w{};
  const std::int64_t begin = arena.used();
  w.counts = arena.take<std::int32_t>(images * clusters);
  w.largest = arena.take<std::uint64_t>(images);
  w.open = arena.take<std::int32_t>(images);
  w.zeroed = arena.used() - begin;
  w.starts = arena.take<std::int32_t>(images * (clusters + 1));
  w.scratch = arena.take<std::int32_t>(pyseg::cuda::scan_scratch(clusters, images));
  for (auto** array : {&w.parent, &w.size, &w.order, &w.members, &w.ends, &w.queue})
    *array = arena.take<std::int32_t>(all);
  w.state = arena.take<std::uint64_t>(all);
  return w;
}

cudaError_t begin(const Workspace& work, cudaStream_t stream) {
  return cudaMemsetAsync(work.counts, 0, static_cast<std::size_t>(work.zeroed), stream);
}

cudaError_t join(const Batch& batch, const Workspace& work, const std::int32_t* clusters, cudaStream_t stream) {
  const int h = batch.height, w = batch.width, t = batch.tile;
  const std::int64_t pairs = std::int64_t{(w - 1) / t} * h + std::int64_t{(h - 1) / t} * w;
  if (pairs > 0) {
    CUDA_LAUNCH(join_seams, blocks_for(pairs, batch.images), kThreads, 0, stream, clusters, work.parent, h, w, t);
    PYSEG_CUDA_TRY(cudaGetLastError());
  }
  CUDA_LAUNCH(measure, blocks_for(batch.pixels(), batch.images), kThreads, 0, stream, work.parent, work.size,
              batch.pixels());
  return cudaGetLastError();
}

cudaError_t number(const Batch& batch, const Workspace& work, const std::int32_t* clusters, std::int64_t min_size,
                   cudaStream_t stream) {
  const Sizes sizes{work.parent, work.size, clusters, batch.pixels(), batch.clusters, min_size};
  const dim3 grid = blocks_for(batch.pixels(), batch.images);
  CUDA_LAUNCH(count_kept, grid, kThreads, 0, stream, sizes, work.counts, work.largest);
  PYSEG_CUDA_TRY(cudaGetLastError());
  CUDA_LAUNCH(keep_largest, blocks_for(1, batch.images, 1), 1, 0, stream, sizes, work.counts, work.largest);
  PYSEG_CUDA_TRY(cudaGetLastError());
  PYSEG_CUDA_TRY(
      pyseg::cuda::exclusive_scan(work.counts, work.starts, batch.clusters, batch.images, work.scratch, stream));
  CUDA_LAUNCH(gather_kept, grid, kThreads, 0, stream, sizes, work.largest, work.starts, work.counts, work.members);
  PYSEG_CUDA_TRY(cudaGetLastError());
  CUDA_LAUNCH(rank_kept, grid, kThreads, 0, stream, sizes, work.largest, work.starts, work.members, work.state,
              work.order);
  return cudaGetLastError();
}

}  // namespace pyseg::connectivity::cuda
