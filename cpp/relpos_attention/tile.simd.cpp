// The tile of all products of relpos_attention: 6 rows of A against up to 64 columns of B, all of C in registers, as in
// gemm/tile.simd.cpp. Here every operand is scratch memory in whole vectors, so that a tile has no ends to look at:
// with d = 64 it lasts 1500 cycles, in which gemm's partial loads and stores of C would be a sixth. At 24 multiply-adds
// to 10 loads with AVX-512 it is bound by the multiply-adds.
#include "core/vectors.h"
#include "relpos_attention/kernels.h"

namespace pyseg::relpos_attention::PYSEG_ISA {
namespace {

constexpr int kLanes = kVectorBytes / 4;
constexpr int kWidth = kVectorBytes == 64 ? 4 : 2;  // vectors of C in a row

template <int Width, bool Accumulate>
void tile(const Product& p, std::int64_t column) {
  Floats sum[kRows][Width];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Width; ++j) sum[i][j] = Floats{};
  const float* a[kRows];
  for (int i = 0; i < kRows; ++i) a[i] = p.a + i * p.a_row;
  const float* b = p.b + column;
  const std::int64_t a_step = p.a_step, b_step = p.b_step, end = p.depth * a_step;
  for (std::int64_t at = 0; at != end; at += a_step, b += b_step) {
    Floats row[Width];
#pragma GCC unroll 4
    for (int j = 0; j < Width; ++j) row[j] = load<Floats>(b + j * kLanes);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const Floats value = splat(a[i][at]);
#pragma GCC unroll 4
      for (int j = 0; j < Width; ++j) sum[i][j] = multiply_add(value, row[j], sum[i][j]);
    }
  }
  float* c = p.c + column;
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i, c += p.c_row)
#pragma GCC unroll 4
    for (int j = 0; j < Width; ++j) {
      Floats v = sum[i][j];
      if constexpr (Accumulate) v += load<Floats>(c + j * kLanes);
      store(c + j * kLanes, v);
    }
}

template <bool Accumulate>
void tiles(const Product& p) {
  std::int64_t rest = p.columns / kLanes;
  for (std::int64_t column = 0; rest > 0;) {
    // 5 vectors are 3 and 2, not 4 and 1: one vector alone has more loads than multiply-adds.
    const std::int64_t width = rest == kWidth + 1 && kWidth > 2 ? kWidth - 1 : rest < kWidth ? rest : kWidth;
    if (kWidth == 4 && width == 4) tile<kWidth, Accumulate>(p, column);
    else if (kWidth == 4 && width == 3) tile<kWidth - 1, Accumulate>(p, column);
    else if (width == 2) tile<2, Accumulate>(p, column);
    else tile<1, Accumulate>(p, column);
    column += width * kLanes;
    rest -= width;
  }
}

void product(const Product& p) { p.accumulate ? tiles<true>(p) : tiles<false>(p); }

constexpr TileKernels kKernels = {&product};

}  // namespace

const TileKernels* tile_kernels() { return &kKernels; }

}  // namespace pyseg::relpos_attention::PYSEG_ISA
