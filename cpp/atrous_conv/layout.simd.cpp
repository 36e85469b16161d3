// Planes to pixels and back: a transposition in squares of 4 x 4, rows of squares so that what is written are whole
// lines of cache. Bound by memory.
#include <algorithm>

#include "atrous_conv/kernels.h"
#include "core/vectors.h"

namespace pyseg::atrous_conv::PYSEG_ISA {
namespace {

using Four = float __attribute__((vector_size(16)));
using Index = std::int32_t __attribute__((vector_size(16)));

inline void square(const float* in, std::int64_t in_row, float* out, std::int64_t out_row) {
  const Four a = load<Four>(in), b = load<Four>(in + in_row), c = load<Four>(in + 2 * in_row),
             d = load<Four>(in + 3 * in_row);
  const Four ab0 = __builtin_shuffle(a, b, Index{0, 4, 1, 5}), ab1 = __builtin_shuffle(a, b, Index{2, 6, 3, 7});
  const Four cd0 = __builtin_shuffle(c, d, Index{0, 4, 1, 5}), cd1 = __builtin_shuffle(c, d, Index{2, 6, 3, 7});
  store(out, __builtin_shuffle(ab0, cd0, Index{0, 1, 4, 5}));
  store(out + out_row, __builtin_shuffle(ab0, cd0, Index{2, 3, 6, 7}));
  store(out + 2 * out_row, __builtin_shuffle(ab1, cd1, Index{0, 1, 4, 5}));
  store(out + 3 * out_row, __builtin_shuffle(ab1, cd1, Index{2, 3, 6, 7}));
}

void transpose(const float* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns, float* out,
               std::int64_t out_row) {
  constexpr std::int64_t kTile = 16;  // floats in a line of cache
  for (std::int64_t i = 0; i < rows; i += kTile) {
    const std::int64_t i_end = std::min(i + kTile, rows);
    for (std::int64_t j = 0; j < columns; j += 4) {
      const std::int64_t j_end = std::min<std::int64_t>(j + 4, columns);
      std::int64_t r = i;
      if (j_end - j == 4)
        for (; r + 4 <= i_end; r += 4) square(in + r * in_row + j, in_row, out + j * out_row + r, out_row);
      for (; r < i_end; ++r)
        for (std::int64_t c = j; c < j_end; ++c) out[c * out_row + r] = in[r * in_row + c];
    }
  }
}

constexpr LayoutKernels kKernels = {&transpose};

}  // namespace

const LayoutKernels* layout_kernels() { return &kKernels; }

}  // namespace pyseg::atrous_conv::PYSEG_ISA
