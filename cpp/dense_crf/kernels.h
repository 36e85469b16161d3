// The vector code of the mean field, compiled once per instruction set.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "dense_crf/dense_crf.h"

namespace pyseg::dense_crf {

constexpr int kLanes = permutohedral::kLanes;
constexpr int kMostTaps = 64;             // vertices that a point touches, of all kernels, in the fused pass
constexpr float kNever = -1e30f;          // the logit of the channels that pad a row
constexpr float kSafeExponent = 50.0f;    // up to here exponentials need no largest value taken away
constexpr float kLeastExponent = -80.0f;  // e^-80 is as good as 0, and no subnormal comes of it

// One kernel in a pass over a band: where its points' rows are, and the rows that it reads and adds to.
struct Side {
  const std::uint16_t* offset;
  const float* weight;
  const std::uint32_t* base;
  int classes;
  const float *before, *after;  // [blocks * 16] or null
  float scale;                  // of what it reads
  const void* in;               // blurred rows
  float* out;                   // sums of rows
};

// A pass over the blocks of a band.
struct Pass {
  std::int64_t first_block, last_block, points, classes, stride;
  const float* unary;  // [blocks * 16][stride]: logits less that of the last class
  const Side* sides;
  int count;                   // of sides
  bool slice, splat;           // the first pass has no rows to read, the last none to write
  ClassView<float> out;        // probabilities, in the last pass
  const std::uint32_t* order;  // [points] where they go; null: in order
};

// Where the points of a block are; after the last point, that again. Returns how many there are.
[[maybe_unused]] static int points_of(const std::uint32_t* order, std::int64_t points, std::int64_t block,
                                      std::uint32_t* at) {
  const std::int64_t first = block * kLanes, last = points - 1;
  for (int i = 0; i < kLanes; ++i) {
    const std::int64_t p = first + i < last ? first + i : last;
    at[i] = order == nullptr ? static_cast<std::uint32_t>(p) : order[p];
  }
  return static_cast<int>(points - first < kLanes ? points - first : kLanes);
}

struct Kernels {
  void (*potts)(const Pass& pass);        // rows of float: Q_c - Q_last
  void (*potts_half)(const Pass& pass);   // `in` is half precision
  void (*two_classes)(const Pass& pass);  // rows of one float
};

struct UnaryKernels {
  // rows [count][stride] of logits, padded by kNever, to probabilities, in place.
  void (*softmax)(float* rows, std::int64_t count, std::int64_t stride);
  // rows [16][stride] of logits of 16 points. less_last: less that of the last class, which has no channel. False where
  // a value is not finite, or no probability.
  bool (*logits)(ClassView<const float> unary, const std::uint32_t* points, UnaryKind kind, std::int64_t classes,
                 bool less_last, std::int64_t stride, float* rows);
  void (*narrow)(const float* in, std::int64_t count, std::uint16_t* out);  // count: a multiple of 4
};

PYSEG_DISPATCH(Kernels, kernels)
PYSEG_DISPATCH(UnaryKernels, unary_kernels)

}  // namespace pyseg::dense_crf
