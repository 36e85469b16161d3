// Atrous (dilated) convolution in float32, forward and backward, channels last inside.
//
//   y[n, o, i, j] = sum_{c, a, b} w[o, c, a, b] x[n, c, i s - p + a r, j s - p + b r]
//
// (Chen et al., "DeepLab", TPAMI 2018, eq. 1-2; r is the rate, or dilation.) Algorithms:
//   direct    any kernel and stride: one matrix product a tap; taps in the padding are left out (direct.cpp)
//   pointwise 1 x 1, planes as they are (pointwise.cpp)
//   winograd  3 x 3, stride 1: the r x r phases are ordinary convolutions of small grids, each cut into pieces with
//   fewer
//             multiplications than outputs times taps (axis.h, winograd.cpp)
// Neither depends on threads; AVX2 and AVX-512 agree bit for bit.
#pragma once

#include <array>
#include <cstdint>

#include "core/parallel.h"
#include "gemm/gemm.h"

namespace pyseg::atrous_conv {

// winograd4: with F(4,3) pieces too, less exact. pointwise: 1 x 1 of planes into planes.
enum class Algorithm : int { direct = 0, winograd = 1, winograd4 = 2, pointwise = 3 };

struct Conv {
  std::int64_t images, channels, height, width;  // of the input
  std::int64_t outputs;                          // channels of the output
  std::array<std::int64_t, 2> kernel, stride, padding, dilation;
  Algorithm algorithm;

  std::int64_t out_size(int axis) const {
    const std::int64_t in = axis == 0 ? height : width;
    return (in + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis] + 1;
  }
  // The convolution whose forward is this one's gradient with respect to the input; stride 1 only.
  Conv transposed() const;
};

// Throws unless the sizes are ones that the kernels can take: positive, an output of at least one pixel, no overflow.
void check_conv(const Conv& conv);

// Where the channels of a pixel lie: pixel (n, y, x) at data + ((n H + y) W + x) * row, or planes.
struct Input {
  const float* data;
  bool channels_last;
};
struct Output {
  float* data;
  bool channels_last;
  std::int64_t row;  // channels_last: floats from one pixel to the next (>= outputs)
};

// Weights [outputs, channels, kh, kw], contiguous, in the form that the algorithm, the geometry and the instruction set
// in force want. `transposed`: of conv.transposed(), from the weights [channels of the transposed, ...] as they are, so
// that the caller need not flip them.
std::int64_t packed_size(const Conv& conv);
// Which combinations of taps `pack` makes, as bits: one packing serves all sizes of images where they are the same.
std::int64_t combinations(const Conv& conv);
// A hash of all values, to know packed weights by: writes that go past autograd's version counter count too.
std::int64_t fingerprint(const float* weight, std::int64_t count, const Executor& executor);
void pack(const Conv& conv, const float* weight, bool transposed, float* packed, const Executor& executor);

// epilogue: scale and shift per output channel, then ReLU.
void forward(const Conv& conv, const Input& input, const float* packed, const gemm::Epilogue& epilogue,
             const Output& output, const Executor& executor);

// float64, planes in and out; conv.algorithm is not looked at.
void forward_double(const Conv& conv, const double* x, const double* weight, const double* bias, bool relu, double* out,
                    const Executor& executor);

// Gradient with respect to the weights [outputs, channels, kh, kw].
void grad_weight(const Conv& conv, const Input& input, const Input& grad, float* result, const Executor& executor);

}  // namespace pyseg::atrous_conv
