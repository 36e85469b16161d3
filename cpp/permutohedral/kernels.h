// The vector code of the lattice, compiled once per instruction set, for float.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "permutohedral/keys.h"

namespace pyseg::permutohedral {

struct CopyLists {
  const std::uint32_t *owner, *begin, *copy;
};

// Rows are `stride` values apart: 1, or row_size(channels).
struct Kernels {
  // One block: features [dims][16] to weights [dims + 1][16] and keys [groups][dims + 1][16].
  void (*simplex)(const float* features, const float* scale, int dims, const Packing& packing, float* weight,
                  std::uint64_t* keys, std::int64_t group_step);
  // rows += weight * values, in the order of the points of a block; `factor` (or null) [16] scales the values.
  void (*splat)(const std::uint16_t* offset, const float* weight, const std::uint32_t* base, int classes,
                const float* factor, const float* values, std::int64_t value_stride, int count, std::int64_t stride,
                float* rows);
  // values = scale * factor * (sum of weight * rows); null factor: 1.
  void (*slice)(const std::uint16_t* offset, const float* weight, const std::uint32_t* base, int classes,
                const float* factor, float scale, const float* rows, std::int64_t stride, std::int64_t value_stride,
                int count, float* values);
  // Chains first .. last - 1 of an axis, in place.
  void (*blur)(const std::uint32_t* row, const std::uint32_t* begin, std::int64_t first, std::int64_t last,
               std::int64_t stride, float* rows);
  // Vertices first .. last - 1 of those with copies: adds the copies to their own row.
  void (*add_copies)(const CopyLists& lists, std::int64_t first, std::int64_t last, std::int64_t stride, float* rows);
};

PYSEG_DISPATCH(Kernels, kernels)

}  // namespace pyseg::permutohedral
