// torch.ops.pyseg.paste_masks: schema and CPU kernel.
#include "paste_masks/paste_masks.h"

#include <optional>

#include "core/torch.h"

namespace {

using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;
namespace paste = pyseg::paste_masks;

// bool, or float32 without a threshold.
Tensor paste_masks(const Tensor& masks, const Tensor& boxes, std::int64_t height, std::int64_t width,
                   std::optional<double> threshold, bool whole_pixels) {
  check(masks.dim() == 3 && masks.is_cpu(), "paste_masks: masks must be [N, h, w] on the CPU");
  check_type(masks.scalar_type() == ScalarType::Float, "paste_masks: masks must be float32");
  check(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.size(0) == masks.size(0) && boxes.is_cpu(),
        "paste_masks: boxes must be [N, 4], one a mask, on the CPU");
  const bool wide = boxes.scalar_type() == ScalarType::Double;
  check_type(wide || boxes.scalar_type() == ScalarType::Float, "paste_masks: boxes must be float32 or float64");
  check(height >= 0 && width >= 0, "paste_masks: image_size must be >= 0, got ", height, " x ", width);
  const Tensor m = torch::stable::contiguous(masks), b = torch::stable::contiguous(boxes);
  const paste::Problem problem{static_cast<const float*>(m.const_data_ptr()),
                               b.const_data_ptr(),
                               wide,
                               masks.size(0),
                               masks.size(1),
                               masks.size(2),
                               height,
                               width,
                               whole_pixels ? paste::Convention::whole : paste::Convention::exact};
  Tensor out =
      torch::stable::new_empty(masks, {masks.size(0), height, width}, threshold ? ScalarType::Bool : ScalarType::Float);
  if (threshold)
    paste::paste(problem, static_cast<float>(*threshold), static_cast<std::uint8_t*>(out.mutable_data_ptr()),
                 TorchExecutor());
  else paste::paste(problem, out.mutable_data_ptr<float>(), TorchExecutor());
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "paste_masks(Tensor masks, Tensor boxes, SymInt height, SymInt width, float? threshold, bool whole_pixels) -> "
      "Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) { m.impl("paste_masks", TORCH_BOX(&paste_masks)); }
