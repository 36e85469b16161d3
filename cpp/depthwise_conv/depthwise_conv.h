// Depthwise convolution with any kernel, stride, padding and dilation (the depthwise half of atrous convolution), and
// its gradients:
//     y[n, c m + j, o] = bias[c m + j] + sum_k w[c m + j, k] x[n, c, o stride + k dilation - before],
// where taps outside the image do not count. Half precision is summed in float32, float64 in float64.
//
// Two algorithms, chosen by the strides:
//  * planes (NCHW, and any other strides): vectors run along a row of a plane (plane.h);
//  * pixels (channels_last, one output a channel): vectors run over the channels of a pixel (pixel.h).
//
// Both block outputs that are one dilation apart, up to four, along the axis that the vectors do not take: they share
// inputs, so that a 3x3 kernel loads 4.5 vectors for an output instead of 9, and taps that lie outside the image are
// left out as whole rows or columns. What bounds it then: memory, 8 bytes for 18 operations. Dilation makes no
// difference to any of this: a dilated convolution is an undilated one on every dilation-th row and column.
//
// Every output is summed in a fixed order, whatever the threads. Instruction sets agree to rounding: there is a fused
// multiply-add on AVX2 and AVX-512 alone.
#pragma once

#include <array>
#include <cstdint>

#include "core/parallel.h"

namespace pyseg::depthwise_conv {

enum class Kind : int { f32 = 0, f64 = 1, f16 = 2, bf16 = 3 };

// [N, C, H, W]; weights are [C m, 1, kh, kw]. Strides in elements, of any sign for what is read.
struct Array {
  void* data = nullptr;
  std::array<std::int64_t, 4> size{}, stride{};
};

struct Geometry {
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 4> padding{};  // top, bottom, left, right; >= 0
  std::array<std::int64_t, 2> dilation{1, 1};
};

// Height and width of the result. Throws where arguments do not fit together; `op` begins the message.
std::array<std::int64_t, 2> output_size(const char* op, const std::array<std::int64_t, 4>& x,
                                        const std::array<std::int64_t, 4>& weight, const Geometry& geometry);

// All of one kind; `out` fills the memory that it lies in, in any order of its axes; `bias` [C m] may be null, else has
// elements `bias_stride` apart. NaN passes through relu.
void forward(Kind kind, const Array& x, const Array& weight, const void* bias, std::int64_t bias_stride,
             const Geometry& geometry, bool relu, const Array& out, const Executor& executor);

// d loss / d x, into `out`.
void grad_input(Kind kind, const Array& grad, const Array& weight, const Geometry& geometry, const Array& out,
                const Executor& executor);

// d loss / d weight, into `out`: sums over fixed pieces of the image, added up in a fixed order in float64.
void grad_weight(Kind kind, const Array& grad, const Array& x, const Geometry& geometry, const Array& out,
                 const Executor& executor);

// d loss / d bias [C m], contiguous: grad summed over n, h and w, in fixed pieces too.
void grad_bias(Kind kind, const Array& grad, void* out, const Executor& executor);

}  // namespace pyseg::depthwise_conv
