// float64, by planes: each tap of each channel is added to the rows of an output plane. Exact rather than fast.
#include <algorithm>

#include "atrous_conv/atrous_conv.h"

namespace pyseg::atrous_conv {
namespace {

// The outputs [first, end) of an axis whose tap is inside the input.
struct Inside {
  std::int64_t first, end, offset;

  Inside(const Conv& conv, int axis, std::int64_t tap) {
    const std::int64_t in = axis == 0 ? conv.height : conv.width, stride = conv.stride[axis];
    offset = tap * conv.dilation[axis] - conv.padding[axis];
    first = std::min(offset >= 0 ? 0 : (-offset + stride - 1) / stride, conv.out_size(axis));
    end = offset >= in ? first : std::clamp((in - 1 - offset) / stride + 1, first, conv.out_size(axis));
  }
};

void add_tap(const Conv& conv, const double* plane, double weight, const Inside& y, const Inside& x, double* out) {
  const std::int64_t width = conv.out_size(1), step = conv.stride[1];
  for (std::int64_t i = y.first; i < y.end; ++i) {
    const double* in = plane + (i * conv.stride[0] + y.offset) * conv.width + x.offset;
    double* to = out + i * width;
    if (step == 1)
      for (std::int64_t j = x.first; j < x.end; ++j) to[j] += weight * in[j];
    else
      for (std::int64_t j = x.first; j < x.end; ++j) to[j] += weight * in[j * step];
  }
}

}  // namespace

void forward_double(const Conv& conv, const double* x, const double* weight, const double* bias, bool relu, double* out,
                    const Executor& executor) {
  const std::int64_t area = conv.out_size(0) * conv.out_size(1), plane = conv.height * conv.width;
  executor.each(conv.images * conv.outputs, [&](std::int64_t task) {
    const std::int64_t n = task / conv.outputs, o = task % conv.outputs;
    double* to = out + task * area;
    std::fill_n(to, area, bias == nullptr ? 0.0 : bias[o]);
    for (std::int64_t a = 0; a < conv.kernel[0]; ++a)
      for (std::int64_t b = 0; b < conv.kernel[1]; ++b) {
        const Inside y(conv, 0, a), inside_x(conv, 1, b);
        for (std::int64_t c = 0; c < conv.channels; ++c)
          add_tap(conv, x + (n * conv.channels + c) * plane,
                  weight[((o * conv.channels + c) * conv.kernel[0] + a) * conv.kernel[1] + b], y, inside_x, to);
      }
    if (relu)
      for (std::int64_t i = 0; i < area; ++i) to[i] = to[i] < 0 ? 0 : to[i];
  });
}

}  // namespace pyseg::atrous_conv
