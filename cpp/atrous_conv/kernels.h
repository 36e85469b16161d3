// Inner loops of atrous_conv, one table for each instruction set.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "gemm/gemm.h"

namespace pyseg::atrous_conv {

// How a piece of an axis is computed: axis.h.
enum class PieceKind : std::uint8_t { single, pair, triple, f2, f4 };

// One-dimensional transforms of rows of `channels` floats. `taps` of a single: which taps have a product.
struct TransformKernels {
  // Inputs of a piece -> what its products multiply.
  void (*inputs)(PieceKind kind, unsigned taps, const float* const* in, float* const* out, int channels);
  // Products -> outputs, and what is to happen to them (null: nothing); its pointers are at the first channel.
  void (*outputs)(PieceKind kind, unsigned taps, const float* const* in, float* const* out, int channels,
                  const gemm::Epilogue* epilogue);
  // Both axes at once, where their kinds are the same and squares() says so: in[i * inputs + j] -> out[p * products +
  // q], without a middle that is stored; and products to outputs.
  bool (*squares)(PieceKind kind);
  void (*square_inputs)(PieceKind kind, const float* const* in, float* const* out, int channels);
  void (*square_outputs)(PieceKind kind, const float* const* in, float* const* out, int channels,
                         const gemm::Epilogue* epilogue);
  // The transpose of `outputs`: gradients of outputs -> of products.
  void (*spread)(PieceKind kind, unsigned taps, const float* const* in, float* const* out, int channels);
  // Gradients of the taps, taps[t][n], t = 3 a + b, from those of the combinations: row m of `count` floats at
  // combinations + m * step is that of the pair (m / x_count, m % x_count).
  void (*gather)(const float* combinations, std::int64_t step, const std::uint8_t* y, int y_count,
                 const std::uint8_t* x, int x_count, int count, float* taps);
  // A panel of transformed weights from taps: taps[t][n], t = 3 a + b, as doubles; out[n] for each pair of
  // combinations.
  void (*weights)(const double* taps, int count, const std::uint8_t* y, int y_count, const std::uint8_t* x, int x_count,
                  float* const* out);
};
constexpr int kTapColumns = 64;  // floats of a row of `taps`
PYSEG_DISPATCH(TransformKernels, transform_kernels)

struct LayoutKernels {
  // out[j * out_row + i] = in[i * in_row + j] for i < rows, j < columns.
  void (*transpose)(const float* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns, float* out,
                    std::int64_t out_row);
};
PYSEG_DISPATCH(LayoutKernels, layout_kernels)

}  // namespace pyseg::atrous_conv
