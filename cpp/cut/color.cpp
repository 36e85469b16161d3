// Densities of colour: histograms over CIELAB, blurred along each axis in turn.
#include <algorithm>
#include <cmath>

#include "core/workspace.h"
#include "cut/cut.h"

namespace pyseg::cut {
namespace {

constexpr int kRadius = 5;
constexpr double kSigma = 1.5;  // in cells

std::array<float, 2 * kRadius + 1> taps() {
  std::array<float, 2 * kRadius + 1> out{};
  double sum = 0;
  for (int i = -kRadius; i <= kRadius; ++i) sum += std::exp(-i * i / (2 * kSigma * kSigma));
  for (int i = -kRadius; i <= kRadius; ++i)
    out[static_cast<std::size_t>(i + kRadius)] = static_cast<float>(std::exp(-i * i / (2 * kSigma * kSigma)) / sum);
  return out;
}

// One axis: [outer][count][inner]. The inner loop runs over what lies together, whichever the axis.
void blur(const float* in, std::int64_t outer, std::int64_t count, std::int64_t inner, float* out) {
  static const auto kTaps = taps();
  std::fill_n(out, outer * count * inner, 0.0f);
  for (std::int64_t o = 0; o < outer; ++o)
    for (int t = -kRadius; t <= kRadius; ++t) {
      const std::int64_t first = std::max<std::int64_t>(0, -t), last = std::min(count, count - t);
      const float tap = kTaps[static_cast<std::size_t>(t + kRadius)];
      const float* from = in + (o * count + t) * inner;
      float* to = out + o * count * inner;
      for (std::int64_t i = first * inner; i < last * inner; ++i) to[i] += tap * from[i];
    }
}

struct Workspace {
  Scratch<float> histogram, other;
};

void density(const Graph& graph, const double* weight, double* out) {
  thread_local Workspace workspace;
  const auto [l, a, b] = graph.cells;
  const std::int64_t size = l * a * b;
  float* x = workspace.histogram.take(size);
  float* y = workspace.other.take(size);
  std::fill_n(x, size, 0.0f);
  double sum = 0;
  for (std::int64_t i = 0; i < graph.count; ++i) sum += weight[i];
  const double share = sum > 0 ? 1 / sum : 0;
  for (std::int64_t i = 0; i < graph.count; ++i)
    x[graph.cell[static_cast<std::size_t>(i)]] += static_cast<float>(weight[i] * share);
  blur(x, 1, l, a * b, y);
  blur(y, l, a, b, x);
  blur(x, l * a, b, 1, y);
  for (std::int64_t i = 0; i < graph.count; ++i)
    out[i] = static_cast<double>(y[graph.cell[static_cast<std::size_t>(i)]]);
}

}  // namespace

void color_ratio(const Graph& graph, const double* inside, const double* outside, double least, const Executor& exec,
                 double* out) {
  std::vector<double> other(static_cast<std::size_t>(graph.count));
  exec.each(2, [&](std::int64_t i) { density(graph, i == 0 ? inside : outside, i == 0 ? out : other.data()); });
  for (std::int64_t i = 0; i < graph.count; ++i)
    out[i] = std::log((out[i] + least) / (other[static_cast<std::size_t>(i)] + least));
}

}  // namespace pyseg::cut
