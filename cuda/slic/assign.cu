// The passes over the image: one block a tile, one thread a pixel. See passes.cuh for the layout.
//
// The block gathers the centres whose window touches its tile into shared memory (about nine; where they do not fit,
// each thread reads them all from the bins), and each thread keeps the least (distance, index). The sums of a warp's
// pixels that have one winner are taken by two warp reductions of packed fields, then added to the centre's in memory:
// integers, so the order does not show.
//
// What bounds it: latency of the gathering, hidden by the 32 blocks that an SM holds; then about 12 instructions a
// pixel and centre, and six 64-bit additions for each warp and winner.
#include "connectivity/tile.cuh"
#include "core/launch.cuh"
#include "slic/passes.cuh"

namespace pyseg::slic::cuda {
namespace {

using pyseg::cuda::kFullWarp;

constexpr int kNear = 128;              // centres that shared memory holds
constexpr std::int32_t kFar = 1 << 28;  // 1/16 pixel; wider than any image

// The block's tile and the thread's pixel.
struct Place {
  int tile_x, tile_y, x, y;
  bool inside;
  std::uint32_t color;
};

template <int Side>
__device__ Place place_of(const Geometry& g, const std::uint32_t* pixels, int phase) {
  Place p;
  const int x = static_cast<int>(threadIdx.x) % Side, row = static_cast<int>(threadIdx.x) / Side;
  p.tile_x = static_cast<int>(blockIdx.x) % g.tiles_x;
  p.tile_y = static_cast<int>(blockIdx.x) / g.tiles_x;
  p.x = p.tile_x * Side + x;
  p.y = p.tile_y * Side + (phase < 0 ? row : 4 * row + ((phase + x) & 3));
  p.inside = p.x < g.width && p.y < g.height;
  p.color = p.inside ? pixels[std::int64_t{blockIdx.y} * g.pixels() + std::int64_t{p.y} * g.width + p.x] : 0;
  return p;
}

// The centres within `reach` of a tile.
struct Window {
  std::int32_t left, right, top, bottom;
  __device__ bool holds(const Center& c) const { return c.x >= left && c.x <= right && c.y >= top && c.y <= bottom; }
};

// Calls visit(center) for those the thread `first` of `step` is to look at: all, with step 1.
template <typename Visit>
__device__ void each_near(const Geometry& g, const Buffers& b, const Window& w, int first, int step, Visit visit) {
  const std::int32_t* starts = b.cell_starts + std::int64_t{blockIdx.y} * (g.cells() + 1);
  const Center* bins = b.bins + std::int64_t{blockIdx.y} * g.clusters;
  const int x0 = max(w.left, 0) / g.cell, x1 = min(w.right / g.cell, g.cells_x - 1);
  const int y0 = max(w.top, 0) / g.cell, y1 = min(w.bottom / g.cell, g.cells_y - 1);
  int at = first;  // counted over the runs of cells
  for (int y = y0; y <= y1; ++y) {
    const std::int32_t begin = starts[y * g.cells_x + x0], length = starts[y * g.cells_x + x1 + 1] - begin;
    for (; at < length; at += step) {
      const Center c = bins[begin + at];
      if (w.holds(c)) visit(c);
    }
    at -= length;
  }
}

struct Nearest {
  std::uint32_t distance = 255;
  std::int32_t center = 0x7fffffff;

  __device__ void consider(const Center& c, const Place& p, std::uint32_t weight) {
    // |16 x - cx| * W >> 16, exactly: weight is W << 16, of W < 2^16.
    const std::uint32_t sx = min(__umulhi(static_cast<unsigned>(abs(kSub * p.x - c.x)), weight), 255u);
    const std::uint32_t sy = min(__umulhi(static_cast<unsigned>(abs(kSub * p.y - c.y)), weight), 255u);
    const std::uint32_t d = min(__vsadu4(p.color, c.color) + sx + sy, 255u);
    // The first centre, in order, of the least distance; of those at 255 or more, too, the first.
    if (d > distance || (d == distance && c.index >= center)) return;
    distance = d;
    center = c.index;
  }
};

// The nearest centre of the thread's pixel. A tile with no centre in its window doubles the window until it has one.
template <int Side>
__device__ std::int32_t nearest(const Geometry& g, const Buffers& b, const Place& p) {
  __shared__ Center list[kNear];
  __shared__ int found;
  const std::uint32_t weight = static_cast<std::uint32_t>(g.weight) << 16;
  const std::int32_t left = p.tile_x * Side * kSub, top = p.tile_y * Side * kSub, last = (Side - 1) * kSub;
  Nearest best;
  for (std::int32_t reach = g.reach; reach < kFar; reach *= 2) {
    const Window window{left - reach, left + last + reach, top - reach, top + last + reach};
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    each_near(g, b, window, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), [&](const Center& c) {
      const int at = atomicAdd(&found, 1);
      if (at < kNear) list[at] = c;
    });
    __syncthreads();
    const int n = found;
    if (n > kNear) {
      each_near(g, b, window, 0, 1, [&](const Center& c) { best.consider(c, p, weight); });
    } else {
      for (int i = 0; i < n; ++i) best.consider(list[i], p, weight);
    }
    if (n > 0) break;
    __syncthreads();  // all have read `found`
  }
  return best.center;
}

template <int Side>
__global__ void assign_tiles(Geometry g, Buffers b, int phase) {
  if (b.at_rest[blockIdx.y] != 0) return;
  const Place p = place_of<Side>(g, b.pixels, phase);
  const std::int32_t winner = nearest<Side>(g, b, p);
  const std::int32_t mine = p.inside && winner < g.clusters ? winner : -1;
  const unsigned peers = __match_any_sync(kFullWarp, mine);
  // Of 32 pixels: count <= 32, colours <= 8160 (13 bits), positions in the tile <= 480 (9 bits).
  const unsigned l = p.color & 255u, a = p.color >> 8 & 255u, o = p.color >> 16 & 255u;
  const unsigned x0 = static_cast<unsigned>(p.tile_x * Side), y0 = static_cast<unsigned>(p.tile_y * Side);
  const unsigned low = __reduce_add_sync(peers, l | a << 13 | 1u << 26);
  const unsigned high =
      __reduce_add_sync(peers, o | (static_cast<unsigned>(p.x) - x0) << 13 | (static_cast<unsigned>(p.y) - y0) << 22);
  if (mine < 0 || (peers & ((1u << (threadIdx.x % 32)) - 1)) != 0) return;
  const std::uint64_t count = low >> 26;
  const std::uint64_t sums[kFields] = {count,
                                       low & 0x1fffu,
                                       low >> 13 & 0x1fffu,
                                       high & 0x1fffu,
                                       (high >> 13 & 0x1ffu) + count * x0,
                                       (high >> 22) + count * y0};
  std::uint64_t* to = b.sums + (std::int64_t{blockIdx.y} * g.clusters + mine) * kFields;
  for (int f = 0; f < kFields; ++f)
    atomicAdd(reinterpret_cast<unsigned long long*>(to + f), static_cast<unsigned long long>(sums[f]));
}

template <int Side, bool Connect>
__global__ void label_tiles(Geometry g, Buffers b, std::int32_t* clusters) {
  const Place p = place_of<Side>(g, b.pixels, -1);
  const std::int32_t winner = min(nearest<Side>(g, b, p), g.clusters - 1);
  const std::int64_t image = blockIdx.y;
  if (p.inside) clusters[image * g.pixels() + std::int64_t{p.y} * g.width + p.x] = winner;
  if constexpr (Connect) {
    connectivity::cuda::cut_tile<Side>(winner, p.inside, p.tile_x, p.tile_y, g.width,
                                       b.components.parent + image * g.pixels(),
                                       b.components.size + image * g.pixels());
  } else if (p.inside) {
    b.components.counts[image * g.clusters + winner] = 1;  // whoever writes it
  }
}

}  // namespace

cudaError_t assign(const Plan& plan, const Buffers& buffers, int phase, cudaStream_t stream) {
  const Geometry g(plan);
  const dim3 grid = pyseg::cuda::blocks_for(g.tiles_x * std::int64_t{g.tiles_y}, plan.images(), 1);
  const int threads = plan.tile * plan.tile / (phase < 0 ? 1 : 4);
  if (plan.tile == 16) CUDA_LAUNCH(assign_tiles<16>, grid, threads, 0, stream, g, buffers, phase);
  else CUDA_LAUNCH(assign_tiles<8>, grid, threads, 0, stream, g, buffers, phase);
  return cudaGetLastError();
}

cudaError_t label(const Plan& plan, const Buffers& buffers, std::int32_t* clusters, cudaStream_t stream) {
  const Geometry g(plan);
  const dim3 grid = pyseg::cuda::blocks_for(g.tiles_x * std::int64_t{g.tiles_y}, plan.images(), 1);
  const int threads = plan.tile * plan.tile;
  if (plan.tile == 16 && plan.connect)
    CUDA_LAUNCH((label_tiles<16, true>), grid, threads, 0, stream, g, buffers, clusters);
  else if (plan.tile == 16) CUDA_LAUNCH((label_tiles<16, false>), grid, threads, 0, stream, g, buffers, clusters);
  else if (plan.connect) CUDA_LAUNCH((label_tiles<8, true>), grid, threads, 0, stream, g, buffers, clusters);
  else CUDA_LAUNCH((label_tiles<8, false>), grid, threads, 0, stream, g, buffers, clusters);
  return cudaGetLastError();
}

}  // namespace pyseg::slic::cuda
