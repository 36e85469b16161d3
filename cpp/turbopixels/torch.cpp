// torch.ops.pyseg.turbopixels: schema and CPU kernel.
#include "core/torch.h"

#include "turbopixels/turbopixels.h"

namespace {

using pyseg::check;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;

std::tuple<Tensor, Tensor> turbopixels(const Tensor& image, std::int64_t n_segments, double alpha, double beta,
                                       double nu, double gamma, double sigma, std::int64_t max_iter,
                                       bool enforce_connectivity, std::int64_t start_label) {
  check(image.dim() == 4, "turbopixels: image must be [B, C, H, W], got ", image.dim(), " dimensions");
  check(start_label >= 0 && start_label < (std::int64_t{1} << 31),
        "turbopixels: start_label must be 0 .. 2^31 - 1, got ", start_label);
  if (image.size(0) > 0) pyseg::turbopixels::check_size(pyseg::torch_binding::image_view("turbopixels", image, 0));
  const pyseg::turbopixels::Options options{n_segments,
                                            alpha,
                                            beta,
                                            nu,
                                            gamma,
                                            sigma,
                                            max_iter,
                                            enforce_connectivity,
                                            static_cast<std::int32_t>(start_label)};
  const std::int64_t batch = image.size(0), height = image.size(2), width = image.size(3);
  Tensor labels = torch::stable::new_empty(image, {batch, height, width}, ScalarType::Int);
  Tensor count = torch::stable::new_empty(image, {batch}, ScalarType::Long);
  for (std::int64_t i = 0; i < batch; ++i)
    count.mutable_data_ptr<std::int64_t>()[i] = pyseg::turbopixels::turbopixels(
        pyseg::torch_binding::image_view("turbopixels", image, i), options,
        labels.mutable_data_ptr<std::int32_t>() + i * height * width, pyseg::torch_binding::TorchExecutor());
  return {labels, count};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "turbopixels(Tensor image, int n_segments, float alpha, float beta, float nu, float gamma, float sigma, "
      "int max_iter, bool enforce_connectivity, int start_label) -> (Tensor labels, Tensor count)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) { m.impl("turbopixels", TORCH_BOX(&turbopixels)); }
