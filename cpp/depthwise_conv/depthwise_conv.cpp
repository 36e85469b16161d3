#include "depthwise_conv/depthwise_conv.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/pages.h"
#include "depthwise_conv/plan.h"

namespace pyseg::depthwise_conv {

namespace {

constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;

Axis axis_of(const Geometry& g, std::size_t i, std::int64_t inputs, std::int64_t outputs, std::int64_t taps) {
  return {inputs, outputs, taps, g.stride[i], g.dilation[i], g.padding[2 * i]};
}

// Inputs `residue`, residue + stride, ... of an axis take their gradient from outputs by an undivided convolution with
// every step-th tap, the last first.
struct Transposed {
  Axis axis;
  std::int64_t tap = 0, step = 1;

  Transposed(const Axis& a, std::int64_t residue) {
    step = a.stride / std::gcd(a.stride, a.dilation);
    axis = {a.outputs, (a.inputs - residue + a.stride - 1) / a.stride, 0, 1, step * a.dilation / a.stride, 0};
    for (std::int64_t k = 0; k < a.taps; ++k) {
      const std::int64_t shift = residue + a.before - k * a.dilation;
      if (shift % a.stride != 0) continue;
      tap = k;
      ++axis.taps;
      axis.before = -(shift / a.stride);
    }
  }
};

void large_pages(Kind kind, const Array& out) {
  const std::int64_t count = out.size[0] * out.size[1] * out.size[2] * out.size[3];
  prefer_huge_pages(out.data, count * element_size(kind), std::int64_t{4} << 20);
}

}  // namespace

std::array<std::int64_t, 2> output_size(const char* op, const std::array<std::int64_t, 4>& x,
                                        const std::array<std::int64_t, 4>& weight, const Geometry& g) {
  check(x[1] >= 1 && weight[0] >= 1 && weight[0] % x[1] == 0, op, ": weight must have a multiple of x's ", x[1],
        " channels, got ", weight[0]);
  check(weight[1] == 1, op, ": weight must be [C * m, 1, kh, kw], got ", weight[1], " in place of 1");
  std::array<std::int64_t, 2> size{};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t taps = weight[2 + i];
    check(taps >= 1 && taps <= kMost, op, ": weight must have 1 .. 2^31 - 1 rows and columns, got ", taps);
    check(g.stride[i] >= 1 && g.stride[i] <= kMost, op, ": stride must be 1 .. 2^31 - 1, got ", g.stride[i]);
    check(g.dilation[i] >= 1 && g.dilation[i] <= kMost, op, ": dilation must be 1 .. 2^31 - 1, got ", g.dilation[i]);
    for (std::size_t end = 2 * i; end < 2 * i + 2; ++end)
      check(g.padding[end] >= 0 && g.padding[end] <= kMost, op, ": padding must be 0 .. 2^31 - 1, got ",
            g.padding[end]);
    const std::int64_t padded = x[2 + i] + g.padding[2 * i] + g.padding[2 * i + 1];
    const std::int64_t extent = (taps - 1) * g.dilation[i] + 1;
    check(padded >= extent, op, ": x with its padding must be at least as large as the kernel, ", extent, ", got ",
          padded);
    size[i] = (padded - extent) / g.stride[i] + 1;
  }
  return size;
}

void forward(Kind kind, const Array& x, const Array& weight, const void* bias, std::int64_t bias_stride,
             const Geometry& g, bool relu, const Array& out, const Executor& executor) {
  Convolution c{kind, x, weight, out, bias, bias_stride, {}, {}, {}, relu};
  c.rows = axis_of(g, 0, x.size[2], out.size[2], weight.size[2]);
  c.columns = axis_of(g, 1, x.size[3], out.size[3], weight.size[3]);
  c.pairing.outputs = weight.size[0] / x.size[1];
  large_pages(kind, out);
  convolve(c, executor);
}

void grad_input(Kind kind, const Array& grad, const Array& weight, const Geometry& g, const Array& out,
                const Executor& executor) {
  const Axis rows = axis_of(g, 0, out.size[2], grad.size[2], weight.size[2]);
  const Axis columns = axis_of(g, 1, out.size[3], grad.size[3], weight.size[3]);
  large_pages(kind, out);
  for (std::int64_t y = 0; y < std::min(rows.stride, rows.inputs); ++y)
    for (std::int64_t x = 0; x < std::min(columns.stride, columns.inputs); ++x) {
      const Transposed down(rows, y), across(columns, x);
      Convolution c{kind, grad, weight, out, nullptr, 0, down.axis, across.axis, {}, false};
      c.pairing.inputs = grad.size[1] / out.size[1];
      c.weight.data = at(kind, weight.data, down.tap * weight.stride[2] + across.tap * weight.stride[3]);
      c.weight.stride[2] = -down.step * weight.stride[2];
      c.weight.stride[3] = -across.step * weight.stride[3];
      c.weight.size[2] = down.axis.taps;
      c.weight.size[3] = across.axis.taps;
      c.out.data = at(kind, out.data, y * out.stride[2] + x * out.stride[3]);
      c.out.size[2] = down.axis.outputs;
      c.out.size[3] = across.axis.outputs;
      c.out.stride[2] = rows.stride * out.stride[2];
      c.out.stride[3] = columns.stride * out.stride[3];
      convolve(c, executor);
    }
}

void grad_weight(Kind kind, const Array& grad, const Array& x, const Geometry& g, const Array& out,
                 const Executor& executor) {
  if (out.size[0] == 0) return;
  sum_weights(kind, grad, x, axis_of(g, 0, x.size[2], grad.size[2], out.size[2]),
              axis_of(g, 1, x.size[3], grad.size[3], out.size[3]), out.data, executor);
}

}  // namespace pyseg::depthwise_conv
