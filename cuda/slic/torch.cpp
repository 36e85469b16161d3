// torch.ops.pyseg.slic on CUDA tensors. The schema is cpp/slic/torch.cpp's.
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "core/torch_cuda.h"
#include "slic/slic.cuh"

namespace {

using pyseg::check;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;

std::array<double, 3> last_three(const char* name, const std::vector<double>& values, double front) {
  check(values.size() == 2 || values.size() == 3, "slic: ", name, " must have 2 or 3 values, got ", values.size());
  return values.size() == 3 ? std::array<double, 3>{values[0], values[1], values[2]}
                            : std::array<double, 3>{front, values[0], values[1]};
}

// [B, K, 3] or [B, K, 3 + C] on the image's device.
Tensor centers_of(const Tensor& image, const Tensor& given) {
  check(given.dim() == 3 && given.size(0) == image.size(0) && given.scalar_type() == ScalarType::Double &&
            (given.size(2) == 3 || given.size(2) == 3 + image.size(1)),
        "slic: initial_centers must be float64 [B, K, 3] or [B, K, 3 + C]");
  check(given.size(1) >= 1, "slic: initial_centers must have a row, got none");
  const Tensor rows = torch::stable::contiguous(given);
  if (rows.is_cpu()) {
    const auto* values = static_cast<const double*>(rows.const_data_ptr());
    for (std::int64_t i = 0; i < rows.numel(); ++i)
      check(std::isfinite(values[i]), "slic: initial_centers must be finite, got ", values[i]);
    return torch::stable::to(rows, image.device());
  }
  check(rows.is_cuda() && rows.get_device_index() == image.get_device_index(),
        "slic: initial_centers must be on the CPU or on the image's device");
  return rows;  // what is not finite becomes 0 there
}

std::tuple<Tensor, Tensor> slic(const Tensor& image, std::int64_t n_segments, double compactness, std::int64_t max_iter,
                                double tol, std::vector<double> sigma, bool to_lab, bool slic_zero,
                                bool enforce_connectivity, double min_size_factor, std::int64_t start_label,
                                std::optional<Tensor> mask, std::vector<double> spacing,
                                std::optional<Tensor> initial_centers, std::int64_t spatial_dims) {
  check(spatial_dims == 2 && image.dim() == 4, "slic on CUDA takes images [B, C, H, W] with spatial_dims 2, got ",
        image.dim(), " dimensions and spatial_dims ", spatial_dims);
  check(image.scalar_type() == ScalarType::Byte, "slic on CUDA takes uint8 images, got ",
        toString(image.scalar_type()));
  check(!mask, "slic on CUDA takes no mask");
  check(start_label >= 0 && start_label < (std::int64_t{1} << 31), "slic: start_label must be 0 .. 2^31 - 1, got ",
        start_label);
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
  options.start_label = static_cast<std::int32_t>(start_label);

  const pyseg::torch_binding::OnDevice here("slic", image);
  Tensor centers = image;
  if (initial_centers) {
    centers = centers_of(image, *initial_centers);
    options.centers = static_cast<const double*>(centers.const_data_ptr());
    options.n_centers = centers.size(1);
    options.center_width = centers.size(2);
  }
  const pyseg::slic::cuda::Shape shape{image.size(0), image.size(2), image.size(3), image.size(1)};
  const pyseg::slic::cuda::Strides strides{image.stride(0), image.stride(2), image.stride(3), image.stride(1)};
  const pyseg::slic::cuda::Plan plan = pyseg::slic::cuda::make_plan(shape, options);
  Tensor labels = torch::stable::new_empty(image, {shape.images, shape.height, shape.width}, ScalarType::Int);
  Tensor count = torch::stable::new_empty(image, {shape.images}, ScalarType::Long);
  Tensor workspace = torch::stable::new_empty(image, {pyseg::slic::cuda::workspace_bytes(plan)}, ScalarType::Byte);
  pyseg::cuda::check_cuda(
      "slic", pyseg::slic::cuda::slic(plan, static_cast<const std::uint8_t*>(image.const_data_ptr()), strides,
                                      static_cast<std::int32_t*>(labels.mutable_data_ptr()),
                                      static_cast<std::int64_t*>(count.mutable_data_ptr()),
                                      workspace.mutable_data_ptr(), pyseg::torch_binding::current_stream(image)));
  return {labels, count};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyseg, CUDA, m) { m.impl("slic", TORCH_BOX(&slic)); }
