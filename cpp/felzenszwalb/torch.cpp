// torch.ops.pyseg.felzenszwalb: schema and CPU kernel.
#include "felzenszwalb/felzenszwalb.h"

#include "core/torch.h"

namespace {

using pyseg::check;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;

std::tuple<Tensor, Tensor> felzenszwalb(const Tensor& image, double scale, double sigma, std::int64_t min_size,
                                        std::int64_t start_label) {
  check(image.dim() == 4, "felzenszwalb: image must be [B, C, H, W], got ", image.dim(), " dimensions");
  check(start_label >= 0 && start_label < (std::int64_t{1} << 31),
        "felzenszwalb: start_label must be 0 .. 2^31 - 1, got ", start_label);
  if (image.size(0) > 0) pyseg::felzenszwalb::check_size(pyseg::torch_binding::image_view("felzenszwalb", image, 0));
  const std::int64_t batch = image.size(0), pixels = image.size(2) * image.size(3);
  Tensor labels = torch::stable::new_empty(image, {batch, image.size(2), image.size(3)}, ScalarType::Int);
  Tensor count = torch::stable::new_empty(image, {batch}, ScalarType::Long);
  for (std::int64_t i = 0; i < batch; ++i)
    count.mutable_data_ptr<std::int64_t>()[i] = pyseg::felzenszwalb::felzenszwalb(
        pyseg::torch_binding::image_view("felzenszwalb", image, i),
        {scale, sigma, min_size, static_cast<std::int32_t>(start_label), {}},
        labels.mutable_data_ptr<std::int32_t>() + i * pixels, pyseg::torch_binding::TorchExecutor());
  return {labels, count};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "felzenszwalb(Tensor image, float scale, float sigma, int min_size, int start_label) -> "
      "(Tensor labels, Tensor count)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) { m.impl("felzenszwalb", TORCH_BOX(&felzenszwalb)); }
