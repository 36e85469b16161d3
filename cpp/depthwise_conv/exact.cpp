// The definition, tap by tap: for weights that are not finite, and for sums that come out so. Zeros beside the image
// would make NaN of an infinite factor, in whichever lanes the vectors of an instruction set happen to have there.
#include <cstring>

#include "depthwise_conv/plan.h"

namespace pyseg::depthwise_conv {

namespace {

// A plane, or a kernel, in float64.
void widen_plane(Kind kind, const Array& a, std::int64_t n, std::int64_t c, std::vector<double>& to,
                 std::vector<std::byte>& row) {
  const std::int64_t width = a.size[3];
  to.resize(static_cast<std::size_t>(a.size[2] * width));
  row.resize(static_cast<std::size_t>(width * 8) + 64);
  for (std::int64_t y = 0; y < a.size[2]; ++y) {
    const std::int64_t place = n * a.stride[0] + c * a.stride[1] + y * a.stride[2];
    row_kernels().widen[static_cast<int>(kind)](at(kind, static_cast<const void*>(a.data), place), 0, a.stride[3], 1,
                                                width, row.data(), 0);
    double* out = to.data() + y * width;
    for (std::int64_t x = 0; x < width; ++x) {
      float single = 0;
      if (kind == Kind::f64) std::memcpy(out + x, row.data() + 8 * x, 8);
      else std::memcpy(&single, row.data() + 4 * x, 4), out[x] = static_cast<double>(single);
    }
  }
}

// visit(input place, tap's place) for every tap of output (oy, ox) that is inside.
template <typename Visit>
void each_tap(const Axis& rows, const Axis& columns, std::int64_t oy, std::int64_t ox, Visit visit) {
  for (std::int64_t j = 0; j < rows.taps; ++j) {
    const std::int64_t y = oy * rows.stride + j * rows.dilation - rows.before;
    if (y < 0 || y >= rows.inputs) continue;
    for (std::int64_t k = 0; k < columns.taps; ++k) {
      const std::int64_t x = ox * columns.stride + k * columns.dilation - columns.before;
      if (x >= 0 && x < columns.inputs) visit(y * columns.inputs + x, j * columns.taps + k);
    }
  }
}

}  // namespace

void convolve_exactly(const Convolution& c, const Executor& executor) {
  executor.each(c.out.size[0] * c.out.size[1], [&](std::int64_t plane) {
    const std::int64_t n = plane / c.out.size[1], o = plane % c.out.size[1];
    const std::int64_t height = c.rows.outputs, width = c.columns.outputs;
    std::vector<double> x, w, bias(1, 0.0), sums(static_cast<std::size_t>(height * width));
    std::vector<std::byte> row;
    if (c.bias != nullptr)
      widen_plane(c.kind, {const_cast<void*>(c.bias), {1, 1, 1, 1}, {0, c.bias_stride, 0, 0}}, 0, o, bias, row);
    for (double& sum : sums) sum = bias[0];
    for (std::int64_t t = 0; t < c.pairing.inputs; ++t) {
      const std::int64_t input = o * c.pairing.inputs / c.pairing.outputs + t;
      widen_plane(c.kind, c.x, n, input, x, row);
      widen_plane(c.kind, c.weight, c.pairing.inputs == 1 ? o : input, 0, w, row);
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t i = 0; i < width; ++i)
          each_tap(c.rows, c.columns, y, i, [&](std::int64_t from, std::int64_t tap) {
            sums[static_cast<std::size_t>(y * width + i)] +=
                x[static_cast<std::size_t>(from)] * w[static_cast<std::size_t>(tap)];
          });
    }
    std::vector<float> single(static_cast<std::size_t>(width));
    for (std::int64_t y = 0; y < height; ++y) {
      const double* from = sums.data() + y * width;
      for (std::int64_t i = 0; i < width; ++i) single[static_cast<std::size_t>(i)] = static_cast<float>(from[i]);
      const std::int64_t place = n * c.out.stride[0] + o * c.out.stride[1] + y * c.out.stride[2];
      row_kernels().narrow[static_cast<int>(c.kind)](
          c.kind == Kind::f64 ? static_cast<const void*>(from) : static_cast<const void*>(single.data()), width, c.relu,
          at(c.kind, c.out.data, place), c.out.stride[3]);
    }
  });
}

void grad_weight_exactly(Kind kind, const Array& grad, const Array& x, const Axis& rows, const Axis& columns,
                         std::int64_t channel, double* sums) {
  std::vector<double> input, g;
  std::vector<std::byte> row;
  for (std::int64_t i = 0; i < rows.taps * columns.taps; ++i) sums[i] = 0;
  for (std::int64_t n = 0; n < grad.size[0]; ++n) {
    widen_plane(kind, x, n, channel * x.size[1] / grad.size[1], input, row);
    widen_plane(kind, grad, n, channel, g, row);
    for (std::int64_t y = 0; y < rows.outputs; ++y)
      for (std::int64_t i = 0; i < columns.outputs; ++i)
        each_tap(rows, columns, y, i, [&](std::int64_t from, std::int64_t tap) {
          sums[tap] += input[static_cast<std::size_t>(from)] * g[static_cast<std::size_t>(y * columns.outputs + i)];
        });
  }
}

}  // namespace pyseg::depthwise_conv
