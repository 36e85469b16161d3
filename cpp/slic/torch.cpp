// torch.ops.pyseg.slic: schema and CPU kernel.
#include "slic/slic.h"

#include <optional>
#include <vector>

#include "core/torch.h"

namespace {

using pyseg::check;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;

std::array<double, 3> last_three(const char* name, const std::vector<double>& values, double front) {
  check(values.size() == 2 || values.size() == 3, "slic: ", name, " must have 2 or 3 values, got ", values.size());
  return values.size() == 3 ? std::array<double, 3>{values[0], values[1], values[2]}
                            : std::array<double, 3>{front, values[0], values[1]};
}

pyseg::MaskView mask_view(const Tensor& mask, std::int64_t i, std::int64_t spatial_dims) {
  pyseg::MaskView view;
  view.data = static_cast<const std::byte*>(mask.const_data_ptr()) + i * mask.stride(0);
  view.stride = {spatial_dims == 3 ? mask.stride(1) : 0, mask.stride(-2), mask.stride(-1)};
  return view;
}

std::tuple<Tensor, Tensor> slic(const Tensor& image, std::int64_t n_segments, double compactness, std::int64_t max_iter,
                                double tol, std::vector<double> sigma, bool to_lab, bool slic_zero,
                                bool enforce_connectivity, double min_size_factor, std::int64_t start_label,
                                std::optional<Tensor> mask, std::vector<double> spacing,
                                std::optional<Tensor> initial_centers, std::int64_t spatial_dims) {
  check((spatial_dims == 2 || spatial_dims == 3) && image.dim() == 2 + spatial_dims,
        "slic: image must be [B, C, H, W] (spatial_dims 2) or [B, C, D, H, W] (3), got ", image.dim(), " dimensions");
  pyseg::slic::Options options;
  options.n_segments = n_segments;
  options.compactness = compactness;
  options.max_iter = max_iter;
  options.tol = tol;
  options.sigma = last_three("sigma", sigma, 0.0);
  options.spacing = last_three("spacing", spacing, 1.0);
  options.to_lab = to_lab;
  options.slic_zero = slic_zero;
  options.enforce_connectivity = enforce_connectivity;
  options.min_size_factor = min_size_factor;
  check(start_label >= 0 && start_label < (std::int64_t{1} << 31), "slic: start_label must be 0 .. 2^31 - 1, got ",
        start_label);
  options.start_label = static_cast<std::int32_t>(start_label);

  if (image.size(0) > 0) pyseg::slic::check_size(pyseg::torch_binding::image_view("slic", image, 0));
  std::vector<std::int64_t> shape{image.size(0)};
  for (std::int64_t d = 0; d < spatial_dims; ++d) shape.push_back(image.size(2 + d));
  if (mask) {
    bool same = mask->dim() == 1 + spatial_dims && mask->scalar_type() == ScalarType::Bool && mask->is_cpu();
    for (std::size_t d = 0; same && d < shape.size(); ++d) same = mask->size(static_cast<std::int64_t>(d)) == shape[d];
    check(same, "slic: mask must be bool [B, H, W] or [B, D, H, W] as the image, on the CPU");
  }
  Tensor centers = image;
  if (initial_centers) {
    const Tensor& given = *initial_centers;
    check(given.dim() == 3 && given.size(0) == image.size(0) && given.size(1) >= 1 &&
              given.scalar_type() == ScalarType::Double && given.is_cpu() &&
              (given.size(2) == 3 || given.size(2) == 3 + image.size(1)),
          "slic: initial_centers must be float64 [B, K, 3] or [B, K, 3 + C], K >= 1, on the CPU");
    centers = torch::stable::contiguous(given);
    options.n_centers = centers.size(1);
    options.center_width = centers.size(2);
  }
  Tensor labels = torch::stable::new_empty(image, shape, ScalarType::Int);
  Tensor count = torch::stable::new_empty(image, {image.size(0)}, ScalarType::Long);
  std::int64_t pixels = 1;
  for (std::size_t d = 1; d < shape.size(); ++d) pixels *= shape[d];
  for (std::int64_t i = 0; i < image.size(0); ++i) {
    if (initial_centers)
      options.centers =
          static_cast<const double*>(centers.const_data_ptr()) + i * options.n_centers * options.center_width;
    count.mutable_data_ptr<std::int64_t>()[i] =
        pyseg::slic::slic(pyseg::torch_binding::image_view("slic", image, i),
                          mask ? mask_view(*mask, i, spatial_dims) : pyseg::MaskView{}, options,
                          labels.mutable_data_ptr<std::int32_t>() + i * pixels, pyseg::torch_binding::TorchExecutor());
  }
  return {labels, count};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "slic(Tensor image, int n_segments, float compactness, int max_iter, float tol, float[] sigma, bool to_lab, "
      "bool slic_zero, bool enforce_connectivity, float min_size_factor, int start_label, Tensor? mask, float[] "
      "spacing, "
      "Tensor? initial_centers, int spatial_dims) -> (Tensor labels, Tensor count)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) { m.impl("slic", TORCH_BOX(&slic)); }
