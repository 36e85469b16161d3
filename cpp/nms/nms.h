// Non-maximum suppression: boxes in the order of their scores, each kept unless its intersection over union with one
// kept before exceeds a threshold. torchvision's arithmetic, operation by operation: the same boxes are kept, in the
// same order, ties and NaN included.
//
//  * Order: descending scores, equal ones in the order given, NaN before all numbers (torch.sort's order, stable).
//  * IoU = I / (A + B - I); a pair of areas 0, or with a NaN, has IoU NaN, which exceeds nothing.
//  * In classes: up to 1000 boxes are moved apart by class times (largest coordinate + 1) and suppressed together; more
//    of them are suppressed class by class. The first rounds coordinates, and classes of boxes at negative coordinates
//    may touch: torchvision's results depend on it.
//
// A candidate is compared to all kept boxes, a vector of them at a time, until one suppresses it. Kept boxes lie in
// planes of coordinates, which only grow. Candidates come in blocks: within a block first all of them, on all threads,
// against what was kept before the block, then one after the other against those of the block.
//
// What bounds it: 18 vector operations, one of them a division, for every 16 pairs (float32, AVX-512).
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "core/parallel.h"

namespace pyseg::nms {

// boxes [count, 4] x1, y1, x2, y2, and scores [count], both float64 where `wide`, else float32.
struct Problem {
  const void* boxes = nullptr;
  const void* scores = nullptr;
  const std::int64_t* classes = nullptr;  // [count], or null for one class
  std::int64_t count = 0;
  bool wide = false;
  double threshold = 0.5;
};

// The places of the boxes that are kept, in descending order of their scores, to keep [count]. Returns how many.
std::int64_t nms(const Problem& problem, std::int64_t* keep, const Executor& exec);

template <typename T>
struct Kept {
  T *x1, *y1, *x2, *y2, *area;  // with room for 16 more; the area is NaN where there is no box
};

struct Kernels {
  // Whether one of the boxes [begin, end) is over the threshold with box [4] of that area.
  bool (*suppressed32)(const Kept<float>& kept, std::int64_t begin, std::int64_t end, const float* box, float area,
                       float threshold);
  bool (*suppressed64)(const Kept<double>& kept, std::int64_t begin, std::int64_t end, const double* box, double area,
                       double threshold);
};

PYSEG_DISPATCH(Kernels, kernels)

}  // namespace pyseg::nms
