// torch.ops.pyseg.quickshift: schema and CPU kernel.
#include "quickshift/quickshift.h"

#include <optional>
#include <vector>

#include "core/torch.h"

namespace {

using pyseg::check;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;

std::tuple<Tensor, Tensor, Tensor, Tensor> quickshift(const Tensor& image, double ratio, double kernel_size,
                                                      double max_dist, double sigma, bool to_lab,
                                                      std::int64_t start_label, std::optional<Tensor> noise,
                                                      bool tree) {
  check(image.dim() == 4, "quickshift: image must be [B, C, H, W], got ", image.dim(), " dimensions");
  check(start_label >= 0 && start_label < (std::int64_t{1} << 31),
        "quickshift: start_label must be 0 .. 2^31 - 1, got ", start_label);
  pyseg::quickshift::Options options{ratio, kernel_size, max_dist,
                                     sigma, to_lab,      static_cast<std::int32_t>(start_label)};
  const std::int64_t batch = image.size(0), height = image.size(2), width = image.size(3);
  if (batch > 0) pyseg::quickshift::check_size(pyseg::torch_binding::image_view("quickshift", image, 0));
  Tensor added = image;
  if (noise) {
    check(noise->dim() == 3 && noise->size(0) == batch && noise->size(1) == height && noise->size(2) == width &&
              noise->scalar_type() == ScalarType::Double && noise->is_cpu(),
          "quickshift: noise must be float64 [B, H, W] as the image, on the CPU");
    added = torch::stable::contiguous(*noise);
  }
  const std::vector<std::int64_t> shape{batch, height, width}, none{batch, 0, 0};
  Tensor labels = torch::stable::new_empty(image, shape, ScalarType::Int);
  Tensor count = torch::stable::new_empty(image, {batch}, ScalarType::Long);
  Tensor parents = torch::stable::new_empty(image, tree ? shape : none, ScalarType::Long);
  Tensor distances = torch::stable::new_empty(image, tree ? shape : none, ScalarType::Float);
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::int64_t at = i * height * width;
    if (noise) options.noise = static_cast<const double*>(added.const_data_ptr()) + at;
    pyseg::quickshift::Result result{labels.mutable_data_ptr<std::int32_t>() + at};
    if (tree) {
      result.parents = parents.mutable_data_ptr<std::int64_t>() + at;
      result.distances = distances.mutable_data_ptr<float>() + at;
    }
    count.mutable_data_ptr<std::int64_t>()[i] =
        pyseg::quickshift::quickshift(pyseg::torch_binding::image_view("quickshift", image, i), options, result,
                                      pyseg::torch_binding::TorchExecutor());
  }
  return {labels, count, parents, distances};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "quickshift(Tensor image, float ratio, float kernel_size, float max_dist, float sigma, bool to_lab, int "
      "start_label, Tensor? noise, bool tree) -> (Tensor labels, Tensor count, Tensor parents, Tensor distances)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) { m.impl("quickshift", TORCH_BOX(&quickshift)); }
