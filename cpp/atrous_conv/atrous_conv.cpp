// Checks, layouts, and the choice that was made.
#include "atrous_conv/atrous_conv.h"

#include <algorithm>
#include <limits>

#include "atrous_conv/kernels.h"
#include "atrous_conv/passes.h"
#include "core/check.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {
namespace {

// The input with channels last: as it is, or turned into scratch.
const float* pixels_of(const Input& input, std::int64_t images, std::int64_t channels, std::int64_t area,
                       Scratch<float>& scratch, const Executor& executor) {
  if (input.channels_last || channels == 1 || area == 1) return input.data;
  float* turned = scratch.take(images * channels * area);
  transpose(input.data, images, channels, area, turned, executor);
  return turned;
}

// Gradients of weights are of F(2,3): F(4,3) is not for training.
Conv pieces_of_two(Conv conv) {
  conv.algorithm = Algorithm::winograd;
  return conv;
}

}  // namespace

Conv Conv::transposed() const {
  Conv t = *this;
  t.channels = outputs;
  t.outputs = channels;
  t.height = out_size(0);
  t.width = out_size(1);
  for (int axis = 0; axis < 2; ++axis) t.padding[axis] = dilation[axis] * (kernel[axis] - 1) - padding[axis];
  return t;
}

void check_conv(const Conv& c) {
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  const auto size = [](const char* name, std::int64_t value, std::int64_t least) {
    check(value >= least && value < kMost, "atrous_conv2d: ", name, " must be ", least, " .. 2^31 - 1, got ", value);
  };
  size("the batch", c.images, 1);
  size("channels", c.channels, 1);
  size("height", c.height, 1);
  size("width", c.width, 1);
  size("output channels", c.outputs, 1);
  for (int axis = 0; axis < 2; ++axis) {
    size("kernel size", c.kernel[axis], 1);
    size("stride", c.stride[axis], 1);
    size("dilation", c.dilation[axis], 1);
    check(c.padding[axis] > -kMost && c.padding[axis] < kMost, "atrous_conv2d: padding must be below 2^31, got ",
          c.padding[axis]);
    const std::int64_t in = axis == 0 ? c.height : c.width;
    const std::int64_t reach = c.dilation[axis] * (c.kernel[axis] - 1) + 1;
    check(in + 2 * c.padding[axis] >= reach,
          "atrous_conv2d: the kernel must fit into the padded input: ", in + 2 * c.padding[axis], " < ", reach);
    size("output size", c.out_size(axis), 1);
  }
  const auto is = [&](std::int64_t kernel) {
    return c.kernel[0] == kernel && c.kernel[1] == kernel && c.stride[0] == 1 && c.stride[1] == 1;
  };
  const bool pieces = c.algorithm == Algorithm::winograd || c.algorithm == Algorithm::winograd4;
  pyseg::check(!pieces || is(3), "atrous_conv2d: winograd needs a 3 x 3 kernel and stride 1, got ", c.kernel[0], " x ",
               c.kernel[1], " and stride ", c.stride[0], ", ", c.stride[1]);
  pyseg::check(c.algorithm != Algorithm::pointwise || (is(1) && c.padding[0] == 0 && c.padding[1] == 0),
               "atrous_conv2d: pointwise needs a 1 x 1 kernel, stride 1 and no padding, got ", c.kernel[0], " x ",
               c.kernel[1]);
}

void transpose(const float* in, std::int64_t images, std::int64_t rows, std::int64_t columns, float* out,
               const Executor& executor) {
  constexpr std::int64_t kPart = 64;
  const std::int64_t parts = (columns + kPart - 1) / kPart;
  executor.each(images * parts, [&](std::int64_t task) {
    const std::int64_t image = task / parts, first = task % parts * kPart;
    layout_kernels().transpose(in + image * rows * columns + first, columns, rows, std::min(kPart, columns - first),
                               out + image * rows * columns + first * rows, rows);
  });
}

void forward(const Conv& conv, const Input& input, const float* packed, const gemm::Epilogue& epilogue,
             const Output& output, const Executor& executor) {
  static thread_local Scratch<float> in_scratch, out_scratch;
  if (conv.algorithm == Algorithm::pointwise) {
    pyseg::check(!input.channels_last && !output.channels_last, "atrous_conv2d: pointwise needs planes");
    return pointwise_forward(conv, input.data, packed, epilogue, output.data, executor);
  }
  const std::int64_t area = conv.out_size(0) * conv.out_size(1);
  const float* pixels = pixels_of(input, conv.images, conv.channels, conv.height * conv.width, in_scratch, executor);
  const bool turn = !output.channels_last && conv.outputs > 1 && area > 1;
  Output out = output;
  if (!output.channels_last) out.row = conv.outputs;
  if (turn) out.data = out_scratch.take(conv.images * area * conv.outputs);
  if (conv.algorithm == Algorithm::direct) direct_forward(conv, pixels, packed, epilogue, out, executor);
  else winograd_forward(conv, pixels, packed, epilogue, out, executor);
  if (turn) transpose(out.data, conv.images, area, conv.outputs, output.data, executor);
  in_scratch.trim();
  out_scratch.trim();
}

void grad_weight(const Conv& conv, const Input& input, const Input& grad, float* result, const Executor& executor) {
  static thread_local Scratch<float> in_scratch, grad_scratch;
  const float* pixels = pixels_of(input, conv.images, conv.channels, conv.height * conv.width, in_scratch, executor);
  const float* gradients =
      pixels_of(grad, conv.images, conv.outputs, conv.out_size(0) * conv.out_size(1), grad_scratch, executor);
  const bool pieces = conv.algorithm == Algorithm::winograd || conv.algorithm == Algorithm::winograd4;
  if (!pieces) direct_grad_weight(conv, pixels, gradients, result, executor);
  else winograd_grad_weight(pieces_of_two(conv), pixels, gradients, result, executor);
  in_scratch.trim();
  grad_scratch.trim();
}

}  // namespace pyseg::atrous_conv
