// C = A B in float32: the matrix product under the convolutions and projections, with B packed once for many calls.
//
// Every element is a chain of multiply-adds over k in order, a stretch of kDepth at a time, and the sum of the
// stretches: the result depends neither on threads nor on the size of a tile, and is more exact than one chain. (AVX2
// and AVX-512 agree bit for bit; baseline x86 has no fused multiply-add and differs by rounding.)
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "core/parallel.h"

namespace pyseg::gemm {

// What happens to a finished row of C: c * scale + shift, then max(c, 0). Null: no scale, no shift.
struct Epilogue {
  const float* scale = nullptr;
  const float* shift = nullptr;
  bool relu = false;

  Epilogue from(std::int64_t column) const {
    return {scale == nullptr ? nullptr : scale + column, shift == nullptr ? nullptr : shift + column, relu};
  }
};

// One tile: c[i][0 .. columns) of up to Kernels::rows rows and up to Kernels::columns columns.
struct Tile {
  const float* const* a;  // element k of row i is a[i][k * a_step]
  std::int64_t a_step;    // 1 for rows, the distance of rows for a transposed A
  const float* b;         // row k is b[k * b_step ...], readable to the end of its last vector
  std::int64_t b_step;
  std::int64_t depth;
  float* const* c;
  int rows, columns;
  bool accumulate;           // C += A B
  const Epilogue* epilogue;  // null: none; its pointers are at the tile's first column
};

struct Kernels {
  int rows, columns, vector;  // of the largest tile; floats in a vector
  void (*tile)(const Tile& tile);
  // An epilogue whose scale and shift are of the row: row = row * scale + shift, then ReLU.
  void (*finish)(float* row, float scale, float shift, bool relu, std::int64_t count);
};
PYSEG_DISPATCH(Kernels, kernels)

// Rows of B that stay in the second level cache with the tile's rows of A.
constexpr std::int64_t kDepth = 512;

// Multiply-adds in one chain: longer ones would lose digits, shorter ones time to load and store C.
constexpr std::int64_t kChain = 256;

// Element (k, n) of a matrix is at data[k * row + n * column].
struct Strided {
  const float* data;
  std::int64_t row, column;
};

// B [depth, columns] in panels of Kernels::columns columns, each [depth][columns of the panel], the last one filled up
// with zeros to a whole vector. The layout is that of the instruction set in force.
std::int64_t packed_size(std::int64_t depth, std::int64_t columns);
void pack(const Strided& b, std::int64_t depth, std::int64_t columns, float* packed, const Executor& executor);

struct Panel {
  const float* data;
  std::int64_t step;   // from one k to the next
  std::int64_t first;  // column
  int columns;
};
std::int64_t panel_count(std::int64_t columns);
Panel panel(const float* packed, std::int64_t depth, std::int64_t columns, std::int64_t index);

// Rows of C, by one thread: c[i * c_row ...] for columns of one panel, from the k's of one stretch.
struct Block {
  const float* a;
  std::int64_t a_row, a_step;
  float* c;  // at the panel's first column
  std::int64_t c_row;
  std::int64_t rows;
  bool accumulate;
  const Epilogue* epilogue;
};
void multiply_block(const Block& block, const float* b, std::int64_t b_step, std::int64_t depth, int columns);

// C [rows, columns] = A [rows, depth] B, B packed. C's rows are c_row apart.
void multiply(const float* a, std::int64_t a_row, std::int64_t rows, const float* packed, std::int64_t depth,
              std::int64_t columns, float* c, std::int64_t c_row, const Epilogue& epilogue, const Executor& executor);

}  // namespace pyseg::gemm
