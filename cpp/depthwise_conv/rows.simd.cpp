// Rows of numbers to the type they are summed in, and back.
#include "depthwise_conv/kernels.h"
#include "depthwise_conv/lanes.h"

namespace pyseg::depthwise_conv::PYSEG_ISA {
namespace {

template <typename S>
void widen_rows(const void* from, std::int64_t row_stride, std::int64_t stride, std::int64_t rows, std::int64_t count,
                void* to, std::int64_t pitch) {
  using A = Sum<S>;
  constexpr std::int64_t lanes = kLanes<A>;
  const S* x = static_cast<const S*>(from);
  A* y = static_cast<A*>(to);
  for (; rows > 0; --rows, x += row_stride, y += pitch) {
    std::int64_t i = 0;
    if (stride == 1) {
      for (; i + lanes <= count; i += lanes) store(y + i, get(x + i));
      if (i < count && count >= lanes) {
        store(y + count - lanes, get(x + count - lanes));
        continue;
      }
    }
    for (; i < count; ++i) y[i] = widen(x[i * stride]);
  }
}

template <typename S>
void narrow_row(const void* from, std::int64_t count, bool relu, void* to, std::int64_t stride) {
  using A = Sum<S>;
  constexpr std::int64_t lanes = kLanes<A>;
  const A* x = static_cast<const A*>(from);
  S* y = static_cast<S*>(to);
  std::int64_t i = 0;
  if (stride == 1)
    for (; i + lanes <= count; i += lanes) {
      const Vector<A> v = get(x + i);
      put(relu ? rectified(v) : v, y + i);
    }
  for (; i < count; ++i) narrow(relu && x[i] < 0 ? A{0} : x[i], y + i * stride);
}

template <typename A>
double sum_row(const void* values, std::int64_t count) {
  constexpr std::int64_t lanes = kLanes<A>;
  const A* x = static_cast<const A*>(values);
  Vector<A> sums[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes)
    for (int v = 0; v < 4; ++v) sums[v] += get(x + i + v * lanes);
  double rest = 0;
  for (; i < count; ++i) rest += static_cast<double>(x[i]);
  return static_cast<double>(total<A>((sums[0] + sums[1]) + (sums[2] + sums[3]))) + rest;
}

}  // namespace

const RowKernels* row_kernels() {
  static constexpr RowKernels kernels{{widen_rows<float>, widen_rows<double>, widen_rows<Half>, widen_rows<Brain>},
                                      {narrow_row<float>, narrow_row<double>, narrow_row<Half>, narrow_row<Brain>},
                                      {sum_row<float>, sum_row<double>}};
  return &kernels;
}

}  // namespace pyseg::depthwise_conv::PYSEG_ISA
