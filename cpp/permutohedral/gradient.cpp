// The gradient of a filter with respect to its features: through the barycentric weights, which are linear in them
// inside a simplex. With W the weights, K = alpha W^T B W and S = a^T K b, dS / dW of point i and vertex v is alpha
// (a_i . (B W b)_v + b_i . (B^T W a)_v).
#include <algorithm>
#include <cmath>

#include "permutohedral/scale.h"
#include "permutohedral/simplex.h"
#include "permutohedral/steps.h"

namespace pyseg::permutohedral {
namespace {

// From d / d weight of each class to d / d feature, of point `i` of the simplex's.
template <typename T>
void to_features(const Simplex<T, 0>& simplex, int i, int dims, const T* scale, const T* of_weight, T* gradient) {
  T of_elevated[kMostDims + 1];
  for (int j = 0; j <= dims; ++j) {
    const auto rank = static_cast<int>(simplex.rank[j][i]);
    of_elevated[j] = of_weight[dims - rank] - of_weight[(dims + 1 - rank) % (dims + 1)];
  }
  T before = 0;  // coordinates 0 .. k contain feature k; coordinate k + 1 has it (k + 1) times, negated
  for (int k = 0; k < dims; ++k) {
    before += of_elevated[k];
    gradient[k] += (before - static_cast<T>(k + 1) * of_elevated[k + 1]) * scale[k] / static_cast<T>(dims + 1);
  }
}

}  // namespace

template <typename T>
void feature_gradient(const Lattice<T>& lattice, FeatureBlock<T> features, const T* cotangent, const T* values,
                      std::int64_t channels, const Executor& executor, T* gradient) {
  const int dims = lattice.dims;
  const std::int64_t n = lattice.classes();
  const auto scale = scale_of<T>(dims);
  std::fill(gradient, gradient + lattice.points * dims, T{0});
  Scratch<T> rows_a, rows_b;
  for (std::int64_t panel = 0; panel < channels; panel += kPanel) {
    const std::int64_t count = std::min(kPanel, channels - panel), stride = stride_of<T>(count);
    T *of_a = rows_a.take(lattice.rows * stride), *of_b = rows_b.take(lattice.rows * stride);
    splat_rows<T>(lattice, cotangent + panel, channels, count, nullptr, executor, of_a);
    blur_rows(lattice, stride, true, executor, of_a);
    splat_rows<T>(lattice, values + panel, channels, count, nullptr, executor, of_b);
    blur_rows(lattice, stride, false, executor, of_b);
    executor.each(lattice.bands, [&](std::int64_t band) {
      alignas(128) T block[kMostDims * kLanes];
      Simplex<T, 0> simplex;
      for (std::int64_t b = lattice.first_block(band); b < lattice.last_block(band); ++b) {
        features(b, block);
        for (int i = 0; i < kLanes && b * kLanes + i < lattice.points; ++i) {
          if (i % kStep == 0) simplex = Simplex<T, 0>(block + i, scale.data(), dims);
          const std::int64_t point = b * kLanes + i;
          const T *a = cotangent + point * channels + panel, *v = values + point * channels + panel;
          T of_weight[kMostDims + 1];
          for (std::int64_t r = 0; r < n; ++r) {
            const std::int64_t row =
                lattice.base[static_cast<std::size_t>(band * n + r)] + lattice.offset.get()[(b * n + r) * kLanes + i];
            T sum = 0;
            for (std::int64_t c = 0; c < count; ++c)
              sum += a[c] * of_b[row * stride + c] + v[c] * of_a[row * stride + c];
            of_weight[r] = lattice.alpha() * sum;
          }
          to_features(simplex, i % kStep, dims, scale.data(), of_weight, gradient + point * dims);
        }
      }
    });
  }
}

template void feature_gradient(const Lattice<float>&, FeatureBlock<float>, const float*, const float*, std::int64_t,
                               const Executor&, float*);
template void feature_gradient(const Lattice<double>&, FeatureBlock<double>, const double*, const double*, std::int64_t,
                               const Executor&, double*);

}  // namespace pyseg::permutohedral
