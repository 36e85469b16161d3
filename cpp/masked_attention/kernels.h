// The inner loops, once per instruction set.
#pragma once

#include "core/isa.h"
#include "masked_attention/masked_attention.h"

namespace pyseg::masked_attention {

// Who has what of a chunk, for all heads. Tiles come in groups of `together`, whose keys and values stay in the first
// level cache while all queries pass.
struct Active {
  int together;
  std::uint16_t* tiles;  // [queries]: which a query has
  std::int32_t* order;   // [group][queries]: the queries that have any of a group
  std::int32_t counts[kTiles];
};

// A chunk of keys against all queries, of one head. `dim` is a multiple of 16, filled up with zeros.
struct Chunk {
  const float* keys;    // [tile][dim][16]
  const float* values;  // [tile][16][dim]
  std::int64_t dim, queries;
  const std::uint16_t* const* bits;  // of each query, [chunks][16]
  std::int64_t at;                   // of this chunk in them
  const Active* active;
  const float* q;             // [queries][dim], scaled
  float* sum;                 // [queries][dim]: of p v
  float* weight;              // [queries][16]: of p, by lane
  float* most;                // [queries]: the largest score so far
  bool careful;               // values that are not finite: 0 times them must not count
  const float* const* ahead;  // rows of `length` floats to ask memory for meanwhile
  std::int64_t ahead_count, length;
};

// A place of phase 2: weights of one query in one tile.
struct Entry {
  std::int32_t query, slot;
};

struct GradientChunk {
  const float *keys, *values;  // [tile][dim][16]
  const float* plain_keys;     // [tile][16][dim]
  std::int64_t dim, queries;
  const std::uint16_t* const* bits;
  std::int64_t at;
  const Active* active;
  const float *q, *grad;     // [queries][dim], q scaled
  const float *lse, *delta;  // [queries]
  float* of_q;               // [queries][dim]: sums
  float *of_k, *of_v;        // [tile][16][dim]: written, or added to
  float* slots;              // [queries * together][2][16]: p, and the score's gradient
  Entry* entries;            // [16][queries]
  bool careful, accumulate;
  const float* const* ahead;
  std::int64_t ahead_count, length;
};

struct Kernels {
  // 16 rows of `dim` floats (null: zeros) to [padded][16], to [16][padded], or both. Whether all values were finite.
  bool (*pack)(const float* const* rows, std::int64_t dim, std::int64_t padded, float* transposed, float* plain);
  // The tiles of any query.
  unsigned (*active)(const std::uint16_t* const* bits, std::int64_t queries, std::int64_t at, Active& active);
  void (*forward)(const Chunk& chunk);
};
PYSEG_DISPATCH(Kernels, kernels)

struct GradientKernels {
  void (*backward)(const GradientChunk& chunk);
};
PYSEG_DISPATCH(GradientKernels, gradient_kernels)

// Bits of a row of pixels, 16 to a word; what lies beyond `width` is 0.
struct BitKernels {
  // Halfway between two rows and columns, every `step` (2, 4, 8) columns: (a[0] + a[1]) + (b[0] + b[1]) >= threshold.
  // May read up to `end`.
  void (*halfway)(const float* a, const float* b, const float* end, int step, std::int64_t width, float threshold,
                  std::uint16_t* out);
  void (*across)(const float* row, const std::int32_t* first, const std::int32_t* second, const float* weight,
                 const float* other, std::int64_t width, float* out);
  void (*between)(const float* a, const float* b, float weight, float other, std::int64_t width, float threshold,
                  std::uint16_t* out);
  void (*bytes)(const std::uint8_t* row, std::int64_t width, std::uint16_t* out);
  // Four rows of words to tiles: word i of row r is rows[r * across + i]; the tiles of word i start at out[i * 16].
  void (*tiles)(const std::uint16_t* rows, std::int64_t across, std::uint16_t* out);
};
PYSEG_DISPATCH(BitKernels, bit_kernels)

}  // namespace pyseg::masked_attention
