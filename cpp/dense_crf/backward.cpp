// Back-propagation through the mean field (Zheng et al., "Conditional Random Fields as Recurrent Neural Networks", ICCV
// 2015). Rows of all K classes in the order of the plan. Sums over points run over the bands in their order, so that
// gradients do not depend on threads.
#include <algorithm>

#include "core/check.h"
#include "dense_crf/kernels.h"

namespace pyseg::dense_crf {
namespace {

using Rows = std::vector<float>;

class Backward {
 public:
  Backward(const Problem& p, const std::vector<Features>& features, const Executor& executor, const Gradients& out)
      : p_(p), features_(features), executor_(executor), out_(out), points_(p.plan->points), k_(p.classes) {
    const std::size_t n = p.compat.size();
    size_ = static_cast<std::size_t>(points_ * k_);
    of_norm_.resize(n);
    of_compat_.resize(n);
    for (std::size_t k = 0; k < n; ++k) {
      const std::int64_t values = kind(k) == Compatibility::potts      ? 1
                                  : kind(k) == Compatibility::diagonal ? k_
                                                                       : k_ * k_;
      of_compat_[k].assign(static_cast<std::size_t>(values), 0.0);
      if (wants_features(k) && norm(k) != nullptr) of_norm_[k].assign(static_cast<std::size_t>(points_), 0.0f);
      if (wants_features(k)) std::fill_n(out_.features[k], points_ * features_[k].dims, 0.0f);
    }
  }

  void run(const float* cotangent) {
    forward();
    Rows g(size_), message(size_), spread(size_);
    of_unary_.assign(size_, 0.0f);
    each_point([&](std::int64_t i, std::int64_t at) { std::copy_n(cotangent + at * k_, k_, g.data() + i * k_); });
    for (std::int64_t step = p_.n_iter; step > 0; --step) {
      through_softmax(q_[static_cast<std::size_t>(step)], g);
      Rows next(size_, 0.0f);
      for (std::size_t k = 0; k < p_.compat.size(); ++k) {
        const Rows& q = q_[static_cast<std::size_t>(step) - 1];
        filter(k, q, false, message);
        through_compat(k, g, message, spread);
        if (wants_features(k)) through_kernel(k, spread, q, message);
        filter(k, spread, true, message);
        each_point([&](std::int64_t i, std::int64_t) {
          for (std::int64_t c = i * k_; c < (i + 1) * k_; ++c) next[at(c)] += message[at(c)];
        });
      }
      g.swap(next);
    }
    through_softmax(q_[0], g);
    finish();
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  const Plan::Kernel& kernel(std::size_t k) const { return *p_.plan->kernels[k]; }
  Compatibility kind(std::size_t k) const { return p_.compat[k].kind; }
  const float* norm(std::size_t k) const { return kernel(k).before != nullptr ? kernel(k).before : kernel(k).after; }
  bool wants_features(std::size_t k) const { return k < out_.features.size() && out_.features[k] != nullptr; }

  template <typename F>
  void each_point(F f) const {
    const auto& order = p_.plan->order;
    executor_.run(points_, 1024, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) f(i, order.empty() ? i : std::int64_t{order[at(i)]});
    });
  }

  // Pieces of the points that do not depend on the number of threads, for sums.
  template <typename F>
  void each_piece(F f) const {
    executor_.each((points_ + kPiece - 1) / kPiece,
                   [&](std::int64_t piece) { f(piece, piece * kPiece, std::min(points_, (piece + 1) * kPiece)); });
  }

  void filter(std::size_t k, const Rows& values, bool adjoint, Rows& result) const {
    const Plan::Kernel& kernel = this->kernel(k);
    permutohedral::filter_scaled(kernel.lattice, values.data(), k_, k_, adjoint ? kernel.after : kernel.before,
                                 adjoint ? kernel.before : kernel.after, adjoint, executor_, result.data(), k_);
  }

  // q_[t] = Q after t steps.
  void forward() {
    Rows logits(size_), message(size_);
    const ClassView<const float>& u = p_.unary;
    each_point([&](std::int64_t i, std::int64_t to) {
      for (std::int64_t c = 0; c < k_; ++c) logits[at(i * k_ + c)] = -u.data[to * u.point_stride + c * u.class_stride];
    });
    for (std::int64_t step = 0; step <= p_.n_iter; ++step) {
      Rows z = logits;
      for (std::size_t k = 0; step > 0 && k < p_.compat.size(); ++k) {
        filter(k, q_.back(), false, message);
        each_point(
            [&](std::int64_t i, std::int64_t) { add_energy(k, message.data() + i * k_, -1.0f, z.data() + i * k_); });
      }
      executor_.run(points_, 256, [&](std::int64_t begin, std::int64_t end) {
        unary_kernels().softmax(z.data() + begin * k_, end - begin, k_);
      });
      q_.push_back(std::move(z));
    }
  }

  // to += sign * C x; C is symmetric.
  void add_energy(std::size_t k, const float* x, float sign, float* to) const {
    const float* values = p_.compat[k].values;
    if (kind(k) == Compatibility::potts) {
      for (std::int64_t c = 0; c < k_; ++c) to[c] -= sign * *values * x[c];
    } else if (kind(k) == Compatibility::diagonal) {
      for (std::int64_t c = 0; c < k_; ++c) to[c] += sign * values[c] * x[c];
    } else {
      for (std::int64_t j = 0; j < k_; ++j)
        for (std::int64_t c = 0; c < k_; ++c) to[c] += sign * values[c * k_ + j] * x[j];
    }
  }

  // g: from the gradient of Q to that of the logits; the unary term's share is taken.
  void through_softmax(const Rows& q, Rows& g) {
    each_point([&](std::int64_t i, std::int64_t) {
      float sum = 0;
      for (std::int64_t c = i * k_; c < (i + 1) * k_; ++c) sum += q[at(c)] * g[at(c)];
      for (std::int64_t c = i * k_; c < (i + 1) * k_; ++c) {
        g[at(c)] = q[at(c)] * (g[at(c)] - sum);
        of_unary_[at(c)] -= g[at(c)];
      }
    });
  }

  // Gradient of the values of C, and spread = that of the message.
  void through_compat(std::size_t k, const Rows& g, const Rows& message, Rows& spread) {
    const std::size_t n = of_compat_[k].size();
    std::vector<double> sums(n * static_cast<std::size_t>((points_ + kPiece - 1) / kPiece), 0.0);
    each_piece([&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      double* sum = sums.data() + static_cast<std::size_t>(piece) * n;
      for (std::int64_t i = begin; i < end; ++i) {
        const float *gi = g.data() + i * k_, *m = message.data() + i * k_;
        float* s = spread.data() + i * k_;
        std::fill_n(s, k_, 0.0f);
        if (kind(k) == Compatibility::matrix) {
          for (std::int64_t c = 0; c < k_; ++c)
            for (std::int64_t j = 0; j < k_; ++j) {
              sum[c * k_ + j] -= gi[c] * m[j];
              s[j] -= p_.compat[k].values[c * k_ + j] * gi[c];
            }
          continue;
        }
        add_energy(k, gi, -1.0f, s);
        for (std::int64_t c = 0; c < k_; ++c) {
          if (kind(k) == Compatibility::potts) sum[0] += gi[c] * m[c];
          else sum[c] -= gi[c] * m[c];
        }
      }
    });
    for (std::size_t i = 0; i < sums.size(); ++i) of_compat_[k][i % n] += sums[i];
  }

  // Gradient of a^T (A K B) q with respect to the features of K, and to its normaliser.
  void through_kernel(std::size_t k, const Rows& a, const Rows& q, const Rows& filtered) {
    const Plan::Kernel& kernel = this->kernel(k);
    Rows left = scaled(a, kernel.after), right = scaled(q, kernel.before), back(size_);
    add_feature_gradient(k, left.data(), right.data(), k_);
    if (norm(k) == nullptr) return;
    // d/dA of A_i y_i is y_i = filtered_i / A_i; of B_j, (K^T A a)_j q_j.
    permutohedral::filter_scaled<float>(kernel.lattice, left.data(), k_, k_, nullptr, nullptr, true, executor_,
                                        back.data(), k_);
    const float* f = norm(k);
    const bool root = kernel.before != nullptr && kernel.after != nullptr;
    each_point([&](std::int64_t i, std::int64_t) {
      float of_factor = 0;
      for (std::int64_t c = i * k_; c < (i + 1) * k_; ++c) {
        if (kernel.after != nullptr) of_factor += a[at(c)] * filtered[at(c)] / f[i];
        if (kernel.before != nullptr) of_factor += back[at(c)] * q[at(c)];
      }
      // f = n^-1/2 or n^-1
      of_norm_[k][at(i)] += of_factor * (root ? -0.5f * f[i] * f[i] * f[i] : -f[i] * f[i]);
    });
  }

  Rows scaled(const Rows& rows, const float* factor) const {
    Rows result = rows;
    if (factor != nullptr)
      each_point([&](std::int64_t i, std::int64_t) {
        for (std::int64_t c = i * k_; c < (i + 1) * k_; ++c) result[at(c)] *= factor[i];
      });
    return result;
  }

  void add_feature_gradient(std::size_t k, const float* cotangent, const float* values, std::int64_t channels) {
    const Features& f = features_[k];
    const auto read = [&](std::int64_t block, float* to) {
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const float* point = f.given + std::min(block * kLanes + i, points_ - 1) * f.dims;
        for (std::int64_t j = 0; j < f.dims; ++j) to[j * kLanes + i] = point[j];
      }
    };
    Rows part(static_cast<std::size_t>(points_ * f.dims));
    permutohedral::feature_gradient<float>(kernel(k).lattice, read, cotangent, values, channels, executor_,
                                           part.data());
    for (std::size_t i = 0; i < part.size(); ++i) out_.features[k][i] += part[i];
  }

  void finish() {
    if (out_.unary != nullptr)
      each_point(
          [&](std::int64_t i, std::int64_t to) { std::copy_n(of_unary_.data() + i * k_, k_, out_.unary + to * k_); });
    const Rows ones(static_cast<std::size_t>(points_), 1.0f);
    for (std::size_t k = 0; k < p_.compat.size(); ++k) {
      if (k < out_.compat.size() && out_.compat[k] != nullptr)
        std::transform(of_compat_[k].begin(), of_compat_[k].end(), out_.compat[k],
                       [](double v) { return static_cast<float>(v); });
      if (!of_norm_[k].empty()) add_feature_gradient(k, of_norm_[k].data(), ones.data(), 1);
    }
  }

  static constexpr std::int64_t kPiece = 4096;

  const Problem& p_;
  const std::vector<Features>& features_;
  const Executor& executor_;
  const Gradients& out_;
  const std::int64_t points_, k_;
  std::size_t size_ = 0;
  std::vector<Rows> q_, of_norm_;
  std::vector<std::vector<double>> of_compat_;
  Rows of_unary_;
};

}  // namespace

void backward(const Problem& problem, const float* cotangent, const std::vector<Features>& features,
              const Executor& executor, const Gradients& out) {
  check(problem.unary_kind == UnaryKind::energy, "dense_crf: gradients are with respect to energies");
  check(features.size() == problem.compat.size(), "dense_crf: there must be one compat a kernel");
  for (std::size_t k = 0; k < out.features.size(); ++k)
    check(out.features[k] == nullptr || features[k].given != nullptr,
          "dense_crf: only kernels over given features have a gradient with respect to them");
  Backward(problem, features, executor, out).run(cotangent);
}

}  // namespace pyseg::dense_crf
