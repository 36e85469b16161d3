// The tile of the matrix product: up to 6 rows of A against a panel of B, all of C in registers.
//
// With AVX-512 a tile is 6 x 64: 24 accumulators, 4 vectors of B and one broadcast value of A fill 29 of 32 registers,
// and a step over k is 10 loads to 24 multiply-adds. With AVX2 it is 6 x 16 (12 + 2 + 1 of 16 registers). Rows of A are
// read where they lie, by pointers: packing them would gain 1 to 3 % (measured, Zen 4) and cost a pass. At 115 of 120
// GFLOP/s (Zen 4, one core, k = 512) what bounds it are the multiply-adds.
#include "gemm/gemm.h"

#include "core/vectors.h"

namespace pyseg::gemm::PYSEG_ISA {
namespace {

constexpr int kLanes = kVectorBytes / 4;
constexpr int kRows = 6;
constexpr int kWidth = kVectorBytes == 64 ? 4 : 2;  // vectors of a panel

inline Floats load_part(const float* p, int count) {
  Floats v = {};
  std::memcpy(&v, p, static_cast<std::size_t>(count) * 4);
  return v;
}

template <int Rows, int Width>
void multiply(const Tile& t) {
  const int rest = t.columns - (Width - 1) * kLanes;  // of the last vector
  Floats sum[Rows][Width];
  const float* a[Rows];
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
    a[i] = t.a[i];
#pragma GCC unroll 4
    for (int j = 0; j < Width; ++j) sum[i][j] = Floats{};
  }
  const float* b = t.b;
  const std::int64_t a_step = t.a_step, b_step = t.b_step, end = t.depth * a_step;
  for (std::int64_t at = 0; at != end; at += a_step, b += b_step) {
    Floats row[Width];
#pragma GCC unroll 4
    for (int j = 0; j < Width; ++j) row[j] = load<Floats>(b + j * kLanes);
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) {
      const Floats value = splat(a[i][at]);
#pragma GCC unroll 4
      for (int j = 0; j < Width; ++j) sum[i][j] = multiply_add(value, row[j], sum[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < Width; ++j) {
    const int count = j < Width - 1 ? kLanes : rest;
    Floats scale = splat(1.0f), shift = {};
    const bool affine = t.epilogue != nullptr && (t.epilogue->scale != nullptr || t.epilogue->shift != nullptr);
    if (affine && t.epilogue->scale != nullptr) scale = load_part(t.epilogue->scale + j * kLanes, count);
    if (affine && t.epilogue->shift != nullptr) shift = load_part(t.epilogue->shift + j * kLanes, count);
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) {
      Floats v = sum[i][j];
      if (t.accumulate) v += load_part(t.c[i] + j * kLanes, count);
      if (affine) v = multiply_add(v, scale, shift);
      if (t.epilogue != nullptr && t.epilogue->relu) v = v < 0.0f ? Floats{} : v;  // NaN stays
      std::memcpy(t.c[i] + j * kLanes, &v, static_cast<std::size_t>(count) * 4);
    }
  }
}

template <int Rows>
void by_width(const Tile& t) {
  const int width = (t.columns + kLanes - 1) / kLanes;
  if constexpr (kWidth == 4) {
    if (width == 4) return multiply<Rows, 4>(t);
    if (width == 3) return multiply<Rows, 3>(t);
  }
  if (width == 2) return multiply<Rows, 2>(t);
  multiply<Rows, 1>(t);
}

void tile(const Tile& t) {
  switch (t.rows) {
    case 6:
      return by_width<6>(t);
    case 5:
      return by_width<5>(t);
    case 4:
      return by_width<4>(t);
    case 3:
      return by_width<3>(t);
    case 2:
      return by_width<2>(t);
    default:
      return by_width<1>(t);
  }
}

void finish(float* row, float scale, float shift, bool relu, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = static_cast<int>(count - i < kLanes ? count - i : kLanes);
    Floats v = multiply_add(load_part(row + i, n), splat(scale), splat(shift));
    if (relu) v = v < 0.0f ? Floats{} : v;
    std::memcpy(row + i, &v, static_cast<std::size_t>(n) * 4);
  }
}

constexpr Kernels kKernels = {kRows, kWidth * kLanes, kLanes, &tile, &finish};

}  // namespace

const Kernels* kernels() { return &kKernels; }

}  // namespace pyseg::gemm::PYSEG_ISA
