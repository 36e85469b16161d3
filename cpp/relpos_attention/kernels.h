// Inner loops of relpos_attention, one table for each instruction set.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "relpos_attention/relpos_attention.h"

namespace pyseg::relpos_attention {

constexpr int kRows = 6;    // of a tile
constexpr int kPanel = 64;  // its most columns
constexpr int kChunk = 16;  // rows of floats are whole chunks: a vector, or two or four

// c[i * c_row + n] (+)= sum over k < depth of a[i * a_row + k * a_step] * b[k * b_step + n], of kRows rows. columns: a
// multiple of kChunk.
struct Product {
  const float* a;
  std::int64_t a_row, a_step;
  const float* b;
  std::int64_t b_step, depth;
  float* c;
  std::int64_t c_row, columns;
  bool accumulate;
};

// kRows queries and their scores of keys first .. first + count - 1 of a map of `width` columns. Key (y, x) has the
// bias of_y[i][y] + of_x[i][x] of query i.
struct Group {
  const float* of_y[kRows];
  const float* of_x[kRows];
  std::int64_t first, count, width;
  float* scores;
  std::int64_t row;  // from a query's scores to the next one's; a chunk longer than the scores
};

// What the online softmax knows of a query: the largest score and the sum of exponentials.
struct Running {
  float most, sum;
};

// What is kept of it for the backward pass.
struct Norm {
  float most, factor;  // factor: 1 / sum
};

struct TileKernels {
  void (*product)(const Product& p);
};
PYSEG_DISPATCH(TileKernels, tile_kernels)

struct RowKernels {
  // Scores = biases, up to the next whole chunk minus infinity.
  void (*bias)(const Group& g);
  // Scores to exponentials; rows of `out`, `channels` each (a multiple of kChunk), to the new largest score. With the
  // first keys nothing is looked at of `running` and `out`.
  void (*softmax)(const Group& g, Running* running, float* out, std::int64_t out_row, std::int64_t channels);
  // Scores to probabilities p, and grad (gradients of p, in rows of the same length) to p (grad - delta).
  void (*gradient)(const Group& g, const Norm* norms, const float* delta, float* grad);
  // Sums of the first `count` queries' grad on top of the gradients of the biases, which g's of_y and of_x point to.
  void (*bias_gradient)(const Group& g, const float* grad, int count);
  // `count` rows of `channels` to rows of floats times `scale`, zeros up to out_row.
  void (*read)(const void* in, Float type, std::int64_t token, std::int64_t channel, std::int64_t count,
               std::int64_t channels, float scale, float* out, std::int64_t out_row);
  void (*write)(const float* in, std::int64_t in_row, std::int64_t count, std::int64_t channels, float scale, void* out,
                Float type, std::int64_t token, std::int64_t channel);
  // The sum of a[c] * b[c], c < channels (a multiple of kChunk).
  float (*dot)(const float* a, const float* b, std::int64_t channels);
};
PYSEG_DISPATCH(RowKernels, row_kernels)

}  // namespace pyseg::relpos_attention
