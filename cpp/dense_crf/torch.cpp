// torch.ops.pyseg.dense_crf and its backward: schemas and CPU kernels.
#include "dense_crf/dense_crf.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/torch.h"

namespace {

using pyseg::check;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;
namespace crf = pyseg::dense_crf;

// The arguments that both ops share. A kernel is features (given >= 0: their place in the list), or spatial sigmas and,
// where `colored`, those of the channels.
struct Arguments {
  const Tensor& unary;
  const std::optional<Tensor>& image;
  const std::vector<Tensor>& features;
  const std::vector<std::int64_t>& given;
  const std::vector<double>& spatial;
  const std::vector<std::int64_t>& colored;
  const std::vector<double>& color;
  const std::vector<Tensor>& compat;
  const std::vector<std::int64_t>& normalization;
  std::int64_t unary_kind, n_iter;
  bool half;

  std::int64_t dims() const { return unary.dim() - 2; }
  std::int64_t classes() const { return unary.size(1); }
  std::int64_t points() const {
    std::int64_t n = 1;
    for (std::int64_t d = 2; d < unary.dim(); ++d) n *= unary.size(d);
    return n;
  }

  void verify() const {
    check(unary.dim() >= 3 && unary.dim() <= 5 && unary.is_cpu() && unary.scalar_type() == ScalarType::Float,
          "dense_crf: unary must be float32 [B, K, ...] with 1 to 3 spatial axes, on the CPU");
    check(points() >= 1 && classes() >= 1, "dense_crf: unary must not be empty");
    const std::size_t n = given.size();
    check(colored.size() == n && compat.size() == n && normalization.size() == n,
          "dense_crf: given, colored, compat and normalization must have one value a kernel");
    check(unary_kind >= 0 && unary_kind <= 2, "dense_crf: unary_kind must be 0 .. 2, got ", unary_kind);
    if (image) {
      bool same = image->dim() == unary.dim() && image->size(0) == unary.size(0) && image->is_cpu();
      for (std::int64_t d = 2; same && d < unary.dim(); ++d) same = image->size(d) == unary.size(d);
      check(same && (image->scalar_type() == ScalarType::Float || image->scalar_type() == ScalarType::Byte),
            "dense_crf: image must be uint8 or float32 [B, C, ...] of unary's size, on the CPU");
    }
    for (std::size_t k = 0; k < n; ++k) {
      check(normalization[k] >= 0 && normalization[k] <= 3, "dense_crf: normalization must be 0 .. 3");
      check(given[k] < static_cast<std::int64_t>(features.size()), "dense_crf: given must be a place in features");
      check(given[k] >= 0 || dims() >= 2, "dense_crf: a kernel without features needs an image's shape");
      bool fits = compat[k].dim() <= 2 && compat[k].is_cpu() && compat[k].scalar_type() == ScalarType::Float;
      for (std::int64_t d = 0; fits && d < compat[k].dim(); ++d) fits = compat[k].size(d) == classes();
      check(fits, "dense_crf: compat must be float32 [], [K] or [K, K] with K = ", classes(), ", on the CPU");
      if (given[k] < 0) continue;
      const Tensor& f = features[static_cast<std::size_t>(given[k])];
      check(f.dim() == 3 && f.size(0) == unary.size(0) && f.size(1) == points() && f.size(2) >= 1 && f.is_cpu() &&
                f.scalar_type() == ScalarType::Float && f.is_contiguous(),
            "dense_crf: features must be contiguous float32 [B, ", points(), ", d], on the CPU");
    }
  }

  pyseg::ImageView image_of(std::int64_t i) const {
    if (image && image->dim() >= 4) return pyseg::torch_binding::image_view("dense_crf", *image, i);
    pyseg::ImageView view;  // of positions alone
    const bool volume = dims() == 3;
    view.shape = {volume ? unary.size(2) : 1, dims() >= 2 ? unary.size(-2) : 1, unary.size(-1), 0};
    return view;
  }

  std::vector<crf::Features> kernels_of(std::int64_t i) const {
    std::vector<crf::Features> result(given.size());
    std::size_t s = 0, c = 0;
    for (std::size_t k = 0; k < given.size(); ++k) {
      crf::Features& f = result[k];
      if (given[k] >= 0) {
        const Tensor& t = features[static_cast<std::size_t>(given[k])];
        f.dims = t.size(2);
        f.given = static_cast<const float*>(t.const_data_ptr()) + i * t.size(1) * t.size(2);
        continue;
      }
      const auto d = static_cast<std::size_t>(dims());
      check(s + d <= spatial.size(), "dense_crf: spatial must have one sigma a kernel and axis");
      f.spatial.assign(spatial.begin() + static_cast<std::ptrdiff_t>(s),
                       spatial.begin() + static_cast<std::ptrdiff_t>(s + d));
      f.axes = d == 2 ? std::vector<int>{2, 1} : std::vector<int>{0, 1, 2};
      s += d;
      if (colored[k] == 0) continue;
      check(image.has_value(), "dense_crf: a kernel with colours needs an image");
      const auto channels = static_cast<std::size_t>(image->size(1));
      check(c + channels <= color.size(), "dense_crf: color must have one sigma a kernel and channel");
      f.color.assign(color.begin() + static_cast<std::ptrdiff_t>(c),
                     color.begin() + static_cast<std::ptrdiff_t>(c + channels));
      c += channels;
    }
    return result;
  }

  // Image i; `flat` is its unary term [K, ...], contiguous.
  void prepare(std::int64_t i, const float* flat, const std::vector<crf::Features>& kernels, crf::Plan& plan,
               crf::Problem& problem, std::vector<Tensor>& kept) const {
    std::vector<crf::Normalization> how;
    for (const std::int64_t n : normalization) how.push_back(static_cast<crf::Normalization>(n));
    crf::make_plan(kernels, image_of(i), points(), how, TorchExecutor(), plan);
    problem.plan = &plan;
    problem.classes = classes();
    problem.unary = {flat + i * classes() * points(), 1, points()};
    problem.unary_kind = static_cast<crf::UnaryKind>(unary_kind);
    problem.n_iter = n_iter;
    problem.half = half;
    for (const Tensor& t : compat) {
      kept.push_back(torch::stable::contiguous(t));
      problem.compat.push_back(
          {static_cast<crf::Compatibility>(t.dim()), static_cast<const float*>(kept.back().const_data_ptr())});
    }
  }
};

std::vector<std::int64_t> sizes(const Tensor& t) {
  std::vector<std::int64_t> result;
  for (std::int64_t d = 0; d < t.dim(); ++d) result.push_back(t.size(d));
  return result;
}

Tensor dense_crf(const Tensor& unary, std::optional<Tensor> image, std::vector<Tensor> features,
                 std::vector<std::int64_t> given, std::vector<double> spatial, std::vector<std::int64_t> colored,
                 std::vector<double> color, std::vector<Tensor> compat, std::vector<std::int64_t> normalization,
                 std::int64_t unary_kind, std::int64_t n_iter, bool half) {
  const Arguments a{unary, image,  features,      given,      spatial, colored,
                    color, compat, normalization, unary_kind, n_iter,  half};
  a.verify();
  const Tensor flat = torch::stable::contiguous(unary);
  Tensor out = torch::stable::new_empty(unary, sizes(unary), ScalarType::Float);
  for (std::int64_t i = 0; i < unary.size(0); ++i) {
    crf::Plan plan;
    crf::Problem problem;
    std::vector<Tensor> kept;
    a.prepare(i, static_cast<const float*>(flat.const_data_ptr()), a.kernels_of(i), plan, problem, kept);
    crf::mean_field(problem, TorchExecutor(),
                    {out.mutable_data_ptr<float>() + i * a.classes() * a.points(), 1, a.points()});
  }
  return out;
}

// Gradients with respect to unary (energies), features and compat.
std::tuple<Tensor, std::vector<Tensor>, std::vector<Tensor>> dense_crf_backward(
    const Tensor& grad, const Tensor& unary, std::optional<Tensor> image, std::vector<Tensor> features,
    std::vector<std::int64_t> given, std::vector<double> spatial, std::vector<std::int64_t> colored,
    std::vector<double> color, std::vector<Tensor> compat, std::vector<std::int64_t> normalization, std::int64_t n_iter,
    bool need_features) {
  const Arguments a{unary, image, features, given, spatial, colored, color, compat, normalization, 0, n_iter, false};
  a.verify();
  check(grad.is_cpu() && grad.scalar_type() == ScalarType::Float && sizes(grad) == sizes(unary),
        "dense_crf: grad must be float32 of unary's shape, on the CPU");
  const Tensor flat = torch::stable::contiguous(unary);
  const Tensor cotangent = torch::stable::contiguous(grad);
  Tensor of_unary = torch::stable::new_empty(unary, sizes(unary), ScalarType::Float);
  std::vector<Tensor> of_features, of_compat;
  for (const Tensor& f : features) {
    of_features.push_back(torch::stable::new_empty(f, sizes(f), ScalarType::Float));
    torch::stable::zero_(of_features.back());
  }
  for (const Tensor& c : compat) {
    of_compat.push_back(torch::stable::new_empty(c, sizes(c), ScalarType::Float));
    torch::stable::zero_(of_compat.back());
  }
  const std::int64_t points = a.points(), classes = a.classes();
  const auto n = static_cast<std::size_t>(points * classes);
  std::vector<float> rows(n), result(n);
  for (std::int64_t i = 0; i < unary.size(0); ++i) {
    crf::Plan plan;
    crf::Problem problem;
    std::vector<Tensor> kept;
    const std::vector<crf::Features> kernels = a.kernels_of(i);
    a.prepare(i, static_cast<const float*>(flat.const_data_ptr()), kernels, plan, problem, kept);
    const float* g = static_cast<const float*>(cotangent.const_data_ptr()) + i * points * classes;
    for (std::int64_t c = 0; c < classes; ++c)
      for (std::int64_t p = 0; p < points; ++p) rows[static_cast<std::size_t>(p * classes + c)] = g[c * points + p];
    std::vector<std::vector<float>> compat_part, feature_part;
    crf::Gradients out;
    out.unary = result.data();
    for (std::size_t k = 0; k < given.size(); ++k) {
      compat_part.emplace_back(static_cast<std::size_t>(compat[k].numel()));
      const bool wanted = need_features && given[k] >= 0;
      feature_part.emplace_back(wanted ? static_cast<std::size_t>(points * kernels[k].dims) : 0u);
    }
    for (std::size_t k = 0; k < given.size(); ++k) {
      out.compat.push_back(compat_part[k].data());
      out.features.push_back(feature_part[k].empty() ? nullptr : feature_part[k].data());
    }
    crf::backward(problem, rows.data(), kernels, TorchExecutor(), out);
    float* to = of_unary.mutable_data_ptr<float>() + i * points * classes;
    for (std::int64_t c = 0; c < classes; ++c)
      for (std::int64_t p = 0; p < points; ++p) to[c * points + p] = result[static_cast<std::size_t>(p * classes + c)];
    const auto add = [](const std::vector<float>& part, float* sum) {
      std::transform(part.begin(), part.end(), sum, sum, [](float x, float y) { return x + y; });
    };
    for (std::size_t k = 0; k < given.size(); ++k) {
      add(compat_part[k], of_compat[k].mutable_data_ptr<float>());
      if (feature_part[k].empty()) continue;
      Tensor& t = of_features[static_cast<std::size_t>(given[k])];
      add(feature_part[k], t.mutable_data_ptr<float>() + i * points * kernels[k].dims);
    }
  }
  return {of_unary, of_features, of_compat};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "dense_crf(Tensor unary, Tensor? image, Tensor[] features, int[] given, float[] spatial, int[] colored, "
      "float[] color, Tensor[] compat, int[] normalization, int unary_kind, int n_iter, bool half) -> Tensor");
  m.def(
      "dense_crf_backward(Tensor grad, Tensor unary, Tensor? image, Tensor[] features, int[] given, float[] spatial, "
      "int[] colored, float[] color, Tensor[] compat, int[] normalization, int n_iter, bool need_features) -> "
      "(Tensor of_unary, Tensor[] of_features, Tensor[] of_compat)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("dense_crf", TORCH_BOX(&dense_crf));
  m.impl("dense_crf_backward", TORCH_BOX(&dense_crf_backward));
}
