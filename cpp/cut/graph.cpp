// The graph of superpixels, and diffusion over it.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "cut/cut.h"

namespace pyseg::cut {
namespace {

constexpr double kCell = 4.0;  // of a histogram, in units of CIELAB
constexpr double kTolerance = 1e-5;
constexpr int kMostSteps = 400;

double mean_of(const std::int64_t* values, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
  return count == 0 || sum == 0 ? 1.0 : sum / static_cast<double>(count);
}

void place_in_cells(const double* mean_lab, Graph& out) {
  double low[3] = {}, high[3] = {};
  for (std::int64_t i = 0; i < out.count; ++i)
    for (int c = 0; c < 3; ++c) {
      const double v = mean_lab[3 * i + c];
      check(std::abs(v) <= 1000, "cut: mean_lab must be colours, got ", v);
      low[c] = i == 0 ? v : std::min(low[c], v);
      high[c] = i == 0 ? v : std::max(high[c], v);
    }
  for (std::size_t c = 0; c < 3; ++c) out.cells[c] = std::llround((high[c] - low[c]) / kCell) + 1;
  out.cell.resize(static_cast<std::size_t>(out.count));
  for (std::int64_t i = 0; i < out.count; ++i) {
    std::int64_t at = 0;
    for (std::size_t c = 0; c < 3; ++c)
      at = at * out.cells[c] + std::llround((mean_lab[3 * i + static_cast<std::int64_t>(c)] - low[c]) / kCell);
    out.cell[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(at);
  }
}

// The system over free superpixels; rows of seeds are left out by zeros in every vector.
struct System {
  const Graph& graph;
  const std::int8_t* seed;
  std::vector<double> diagonal;

  void apply(const std::vector<double>& x, std::vector<double>& out) const {
    for (std::size_t i = 0; i < x.size(); ++i) {
      double sum = 0;
      if (seed[i] < 0) {
        sum = diagonal[i] * x[i];
        for (auto k = static_cast<std::size_t>(graph.begin[i]); k < static_cast<std::size_t>(graph.begin[i + 1]); ++k)
          sum -= graph.weight[k] * x[static_cast<std::size_t>(graph.other[k])];
      }
      out[i] = sum;
    }
  }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void make_graph(const double* mean_lab, const std::int64_t* area, std::int64_t count, const std::int32_t* edges,
                const std::int64_t* boundary, std::int64_t edge_count, double sigma, double leak, Graph& out) {
  check(sigma > 0 && leak > 0 && std::isfinite(sigma) && std::isfinite(leak), "cut: sigma and leak must be > 0");
  out.count = count;
  const auto n = static_cast<std::size_t>(count);
  place_in_cells(mean_lab, out);
  const double mean_area = mean_of(area, count), mean_length = mean_of(boundary, edge_count);
  out.area.resize(n);
  for (std::size_t i = 0; i < n; ++i) out.area[i] = static_cast<double>(area[i]) / mean_area;
  out.begin.assign(n + 1, 0);
  for (std::int64_t k = 0; k < 2 * edge_count; ++k) {
    check(edges[k] >= 0 && edges[k] < count, "cut: edges must be within 0 .. ", count - 1, ", got ", edges[k]);
    ++out.begin[static_cast<std::size_t>(edges[k]) + 1];
  }
  for (std::size_t i = 0; i < n; ++i) out.begin[i + 1] += out.begin[i];
  out.other.resize(static_cast<std::size_t>(2 * edge_count));
  out.weight.resize(static_cast<std::size_t>(2 * edge_count));
  out.degree.assign(n, 0);
  std::vector<std::int64_t> next(out.begin.begin(), out.begin.end() - 1);
  for (std::int64_t k = 0; k < edge_count; ++k) {
    const std::int32_t ends[2] = {edges[2 * k], edges[2 * k + 1]};
    double d2 = 0;
    for (int c = 0; c < 3; ++c) {
      const double d = mean_lab[3 * ends[0] + c] - mean_lab[3 * ends[1] + c];
      d2 += d * d;
    }
    const double w = static_cast<double>(boundary[k]) / mean_length * (std::exp(-d2 / (2 * sigma * sigma)) + leak);
    for (int e = 0; e < 2; ++e) {
      const auto from = static_cast<std::size_t>(ends[e]), at = static_cast<std::size_t>(next[from]++);
      out.other[at] = ends[1 - e];
      out.weight[at] = w;
      out.degree[from] += w;
    }
  }
}

// Conjugate gradients with the diagonal as preconditioner, from x = target.
void diffuse(const Graph& graph, const double* pull, const double* target, const std::int8_t* seed, double* out) {
  const auto n = static_cast<std::size_t>(graph.count);
  System system{graph, seed, graph.degree};
  std::vector<double> x(n), r(n), z(n), p(n), q(n), right(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double strength = graph.area[i] * pull[i];
    // A superpixel that nothing reaches still needs an answer; this is too weak to move any other.
    system.diagonal[i] += strength + 1e-9;
    right[i] = strength * target[i] + 1e-9 * 0.5;
    for (auto k = static_cast<std::size_t>(graph.begin[i]); k < static_cast<std::size_t>(graph.begin[i + 1]); ++k)
      if (seed[graph.other[k]] >= 0) right[i] += graph.weight[k] * seed[graph.other[k]];
    if (seed[i] >= 0) right[i] = 0;
    x[i] = seed[i] >= 0 ? 0 : strength > 0 ? target[i] : 0.5;
  }
  system.apply(x, q);
  for (std::size_t i = 0; i < n; ++i) {
    r[i] = right[i] - q[i];
    p[i] = z[i] = r[i] / system.diagonal[i];
  }
  double rz = dot(r, z);
  const double enough = kTolerance * kTolerance * static_cast<double>(n);
  for (int step = 0; step < kMostSteps && rz > enough; ++step) {
    system.apply(p, q);
    const double alpha = rz / dot(p, q);
    for (std::size_t i = 0; i < n; ++i) {
      x[i] += alpha * p[i];
      r[i] -= alpha * q[i];
      z[i] = r[i] / system.diagonal[i];
    }
    const double before = rz;
    rz = dot(r, z);
    for (std::size_t i = 0; i < n; ++i) p[i] = z[i] + rz / before * p[i];
  }
  for (std::size_t i = 0; i < n; ++i) out[i] = seed[i] >= 0 ? seed[i] : std::clamp(x[i], 0.0, 1.0);
}

}  // namespace pyseg::cut
