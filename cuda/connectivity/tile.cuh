// The components of one tile, by the block that has just found its clusters: one thread a pixel, in raster order.
#pragma once

#include "connectivity/union_find.cuh"
#include "core/launch.cuh"

namespace pyseg::connectivity::cuda {

// Writes the parents and sizes of the tile's pixels. All Side * Side threads of the block must call it; `inside`: the
// thread's pixel lies in the image. parent and size are the image's.
template <int Side>
__device__ void cut_tile(std::int32_t cluster, bool inside, int tile_x, int tile_y, int width, std::int32_t* parent,
                         std::int32_t* size) {
  __shared__ std::int32_t clusters[Side * Side], up[Side * Side], sizes[Side * Side];
  const int i = static_cast<int>(threadIdx.x);
  clusters[i] = inside ? cluster : -1;
  up[i] = i;
  sizes[i] = 0;
  __syncthreads();
  if (inside && i % Side > 0 && clusters[i - 1] == cluster) unite(up, i, i - 1);
  if (inside && i >= Side && clusters[i - Side] == cluster) unite(up, i, i - Side);
  __syncthreads();
  const int root = find(up, i);
  const unsigned peers = __match_any_sync(pyseg::cuda::kFullWarp, root);
  if (inside && (peers & ((1u << (i % 32)) - 1)) == 0) atomicAdd(&sizes[root], __popc(peers));
  __syncthreads();
  if (!inside) return;
  const auto pixel = [&](int at) { return (tile_y * Side + at / Side) * width + tile_x * Side + at % Side; };
  parent[pixel(i)] = pixel(root);
  size[pixel(i)] = sizes[i];  // of roots; zero elsewhere
}

}  // namespace pyseg::connectivity::cuda
