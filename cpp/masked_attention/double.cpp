// float64: for gradcheck and exact comparisons. A query's keys are listed, then their scores, weights and sums.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "masked_attention/masks.h"

namespace pyseg::masked_attention {
namespace {

void list_keys(const Layout& layout, const std::uint16_t* bits, std::vector<std::int64_t>& keys) {
  keys.clear();
  for (std::int64_t c = 0; c < layout.chunks(); ++c)
    for (int t = 0; t < kTiles; ++t)
      for (unsigned rest = bits[c * kTiles + t]; rest != 0; rest &= rest - 1)
        if (const std::int64_t key = layout.key(c, t, __builtin_ctz(rest)); key >= 0) keys.push_back(key);
}

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

double scale_of(std::int64_t dim) { return 1.0 / std::sqrt(static_cast<double>(dim)); }

}  // namespace

void forward(const Problem<double>& p, double* out, double* lse, const Executor& executor) {
  if (p.batch * p.heads * p.queries * p.dim == 0) return;
  const Masks masks(p);
  const double scale = scale_of(p.dim);
  executor.run(p.batch * p.queries, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> keys;
    std::vector<double> weights;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / p.queries, row = i % p.queries;
      list_keys(p.layout, *masks.of(b, row), keys);
      for (std::int64_t h = 0; h < p.heads; ++h) {
        const double* q = p.q.at(b, row) + h * p.dim;
        double most = -std::numeric_limits<double>::infinity(), sum = 0;
        weights.clear();
        for (const std::int64_t key : keys) {
          weights.push_back(scale * dot(q, p.k.at(b, key) + h * p.dim, p.dim));
          most = std::max(most, weights.back());
        }
        for (double& w : weights) sum += w = std::exp(w - most);
        double* to = out + (i * p.heads + h) * p.dim;
        std::fill_n(to, p.dim, 0.0);
        for (std::size_t n = 0; n < keys.size(); ++n)
          for (std::int64_t d = 0; d < p.dim; ++d) to[d] += weights[n] / sum * p.v.at(b, keys[n])[h * p.dim + d];
        if (lse != nullptr) lse[(b * p.heads + h) * p.queries + row] = keys.empty() ? most : most + std::log(sum);
      }
    }
  });
}

void backward(const Problem<double>& p, const Gradients<double>& g, const Executor& executor) {
  const std::int64_t width = p.heads * p.dim;
  std::fill_n(g.q, p.batch * p.queries * width, 0.0);
  std::fill_n(g.k, p.batch * p.layout.keys() * width, 0.0);
  std::fill_n(g.v, p.batch * p.layout.keys() * width, 0.0);
  if (p.batch * p.queries * width == 0) return;
  const Masks masks(p);
  const double scale = scale_of(p.dim);
  executor.queue(p.batch * p.heads, [&](std::int64_t task) {
    const std::int64_t b = task / p.heads, at = task % p.heads * p.dim;
    std::vector<std::int64_t> keys;
    for (std::int64_t row = 0; row < p.queries; ++row) {
      list_keys(p.layout, *masks.of(b, row), keys);
      const double *q = p.q.at(b, row) + at, *grad = g.grad.at(b, row) + at;
      const double lse = g.lse[task * p.queries + row], delta = dot(grad, g.out.at(b, row) + at, p.dim);
      double* of_q = g.q + (b * p.queries + row) * width + at;
      for (const std::int64_t key : keys) {
        const double* k = p.k.at(b, key) + at;
        const double weight = std::exp(scale * dot(q, k, p.dim) - lse);
        const double slope = scale * weight * (dot(grad, p.v.at(b, key) + at, p.dim) - delta);
        double* of_k = g.k + (b * p.layout.keys() + key) * width + at;
        double* of_v = g.v + (b * p.layout.keys() + key) * width + at;
        for (std::int64_t d = 0; d < p.dim; ++d) {
          of_q[d] += slope * k[d];
          of_k[d] += slope * q[d];
          of_v[d] += weight * grad[d];
        }
      }
    }
  });
}

}  // namespace pyseg::masked_attention
