// The vector code of deform_attention, compiled once per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"
#include "deform_attention/deform_attention.h"

namespace pyseg::deform_attention {

constexpr int kRowBytes = 64;  // rows are padded to multiples of this

// One level, as each sample needs it.
struct Map {
  std::int32_t height, width, start;
};

// Where one head of one image is. Steps are in elements, from query to query.
struct Head {
  const Map* maps;  // [levels]
  std::int64_t levels, points, queries;
  Array places, weights, reference;
  std::int64_t places_step, weights_step, reference_step, box;
  std::int64_t units;    // from row to row, in 64 bytes
  std::int64_t nowhere;  // the row of corners outside, after that of the last pixel, in the same units

  const void* rows;  // packed: [S + 1][blocks * 64 bytes] of the computation's type; else of value's type
  Float rows_type;
  bool packed;
  std::int64_t channels, blocks;

  void* out;  // forward
  const void* grad;
  Float out_type;  // of `out` or `grad`: value's
  std::int64_t out_step;
  void *places_grad, *weights_grad;  // of the computation's type, steps as of places and weights
  void* reference_grad;              // or null: [queries][levels][box], of this head
  bool fused() const { return reference.data != nullptr; }
};

// The most queries that are set up together.
inline std::int64_t queries_together(std::int64_t samples) { return samples >= 512 ? 1 : 512 / samples; }

// Queries that are set up together.
struct Run {
  std::int64_t first, count;
};
struct Runs {
  const Run *begin, *end;
};

struct RowKernels {
  // `count` rows of `channels`, `step` elements apart, to rows of `blocks`, padded by zeros; and back.
  void (*pack)(const Array& in, std::int64_t step, std::int64_t count, std::int64_t channels, std::int64_t blocks,
               bool wide, void* out);
  void (*unpack)(const void* in, std::int64_t count, std::int64_t channels, std::int64_t blocks, bool wide, Float type,
                 std::int64_t step, void* out);
};

// Each works on some queries, `rows` on blocks first .. last - 1 of the rows. `wide`: in float64. `scratch` has
// scratch_bytes.
struct Kernels {
  std::int64_t (*scratch_bytes)(const Head& head);
  void (*forward)(const Head& head, bool wide, Runs runs, std::byte* scratch);
};

struct BackwardKernels {
  // Gradients of places and weights, or of what they are computed from.
  void (*points)(const Head& head, bool wide, Runs runs, std::byte* scratch);
  // Adds those of the rows to sums [S + 1][blocks * 64 bytes].
  void (*rows)(const Head& head, bool wide, Runs runs, std::int64_t first, std::int64_t last, void* sums,
               std::byte* scratch);
};

PYSEG_DISPATCH(RowKernels, row_kernels)
PYSEG_DISPATCH(Kernels, kernels)
PYSEG_DISPATCH(BackwardKernels, backward_kernels)

}  // namespace pyseg::deform_attention
