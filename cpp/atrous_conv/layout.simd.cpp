// Planes to pixels and back: a transposition in squares of a vector's side, in registers: log2(side) rounds of
// interleaving row i with row i + side / 2. What is read and written are whole lines of cache; bound by memory.
#include <algorithm>

#include "atrous_conv/kernels.h"
#include "core/vectors.h"

namespace pyseg::atrous_conv::PYSEG_ISA {
namespace {

constexpr int kSide = kVectorBytes / 4;

#if defined(__AVX512F__)
constexpr Ints kLow = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
constexpr Ints kHigh = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
#elif defined(__AVX2__)
constexpr Ints kLow = {0, 8, 1, 9, 2, 10, 3, 11};
constexpr Ints kHigh = {4, 12, 5, 13, 6, 14, 7, 15};
#else
constexpr Ints kLow = {0, 4, 1, 5};
constexpr Ints kHigh = {2, 6, 3, 7};
#endif

inline void square(const float* in, std::int64_t in_row, float* out, std::int64_t out_row) {
  Floats rows[kSide], next[kSide];
#pragma GCC unroll 16
  for (int i = 0; i < kSide; ++i) rows[i] = load<Floats>(in + i * in_row);
#pragma GCC unroll 4
  for (int round = 1; round < kSide; round *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kSide / 2; ++i) {
      next[2 * i] = __builtin_shuffle(rows[i], rows[i + kSide / 2], kLow);
      next[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + kSide / 2], kHigh);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < kSide; ++i) store(out + i * out_row, rows[i]);
}

void transpose(const float* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns, float* out,
               std::int64_t out_row) {
  for (std::int64_t r = 0; r < rows; r += kSide)
    for (std::int64_t c = 0; c < columns; c += kSide) {
      const float* from = in + r * in_row + c;
      float* to = out + c * out_row + r;
      if (r + kSide <= rows && c + kSide <= columns) {
        square(from, in_row, to, out_row);
        continue;
      }
      const std::int64_t height = std::min<std::int64_t>(kSide, rows - r);
      const std::int64_t width = std::min<std::int64_t>(kSide, columns - c);
      for (std::int64_t i = 0; i < width; ++i)
        for (std::int64_t j = 0; j < height; ++j) to[i * out_row + j] = from[j * in_row + i];
    }
}

constexpr LayoutKernels kKernels = {&transpose};

}  // namespace

const LayoutKernels* layout_kernels() { return &kKernels; }

}  // namespace pyseg::atrous_conv::PYSEG_ISA
