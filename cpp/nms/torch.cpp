// torch.ops.pyseg.nms: schema and CPU kernel.
#include "nms/nms.h"

#include <optional>

#include "core/torch.h"

namespace {

using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;

Tensor nms(const Tensor& boxes, const Tensor& scores, double threshold, std::optional<Tensor> classes) {
  check(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.is_cpu(), "nms: boxes must be [N, 4] on the CPU");
  check(scores.dim() == 1 && scores.size(0) == boxes.size(0) && scores.is_cpu(),
        "nms: scores must be one a box, on the CPU");
  const bool wide = boxes.scalar_type() == ScalarType::Double;
  check_type((wide || boxes.scalar_type() == ScalarType::Float) && scores.scalar_type() == boxes.scalar_type(),
             "nms: boxes and scores must both be float32, or float64");
  if (classes) {
    check(classes->dim() == 1 && classes->size(0) == boxes.size(0) && classes->is_cpu(),
          "batched_nms: idxs must be one a box, on the CPU");
    check_type(classes->scalar_type() == ScalarType::Long, "batched_nms: idxs must be int64");
  }
  const Tensor b = torch::stable::contiguous(boxes), s = torch::stable::contiguous(scores);
  const Tensor c = classes ? torch::stable::contiguous(*classes) : s;
  const std::int64_t count = boxes.size(0);
  Tensor keep = torch::stable::new_empty(boxes, {count}, ScalarType::Long);
  const auto* kinds = classes ? static_cast<const std::int64_t*>(c.const_data_ptr()) : nullptr;
  const std::int64_t n = pyseg::nms::nms({b.const_data_ptr(), s.const_data_ptr(), kinds, count, wide, threshold},
                                         keep.mutable_data_ptr<std::int64_t>(), pyseg::torch_binding::TorchExecutor());
  if (n == count) return keep;
  return torch::stable::clone(torch::stable::narrow(keep, 0, 0, n));
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def("nms(Tensor boxes, Tensor scores, float threshold, Tensor? classes) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) { m.impl("nms", TORCH_BOX(&nms)); }
