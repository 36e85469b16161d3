// Union-find by minimum, for threads of a block on shared memory or of all blocks on global memory. A node's parent is
// never larger than the node, so the root of a set is its smallest node, in every schedule.
#pragma once

#include "core/launch.cuh"

namespace pyseg::connectivity::cuda {

__device__ inline std::int32_t find(const std::int32_t* parent, std::int32_t node) {
  for (;;) {
    const std::int32_t up = pyseg::cuda::fresh(parent + node);
    if (up == node) return node;
    node = up;
  }
}

// Where another thread linked the larger root away in between, the minimum of both links is written and the other one
// is united in the next turn; the larger node falls in each, so it ends.
__device__ inline void unite(std::int32_t* parent, std::int32_t a, std::int32_t b) {
  for (;;) {
    a = find(parent, a);
    b = find(parent, b);
    if (a == b) return;
    const std::int32_t low = min(a, b), high = max(a, b);
    const std::int32_t old = atomicMin(parent + high, low);
    if (old == high) return;
    a = old;
    b = low;
  }
}

}  // namespace pyseg::connectivity::cuda
