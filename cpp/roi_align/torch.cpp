// torch.ops.pyseg.roi_align and its backward: schemas and CPU kernels.
#include "core/torch.h"

#include "roi_align/roi_align.h"

namespace {

using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
namespace roi = pyseg::roi_align;

roi::Number number_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Half:
      return roi::Number::f16;
    case ScalarType::BFloat16:
      return roi::Number::bf16;
    case ScalarType::Float:
      return roi::Number::f32;
    case ScalarType::Double:
      return roi::Number::f64;
    default:
      throw pyseg::TypeError("roi_align: features must be float16, bfloat16, float32 or float64");
  }
}

bool dense(const Tensor& t, std::int64_t channels_last) {
  if (t.numel() == 0) return channels_last == 0;
  const std::int64_t order[2][4] = {{3, 2, 1, 0}, {1, 3, 2, 0}};
  std::int64_t expected = 1;
  for (const std::int64_t d : order[channels_last]) {
    if (t.size(d) != 1 && t.stride(d) != expected) return false;
    expected *= t.size(d);
  }
  return true;
}

// [B, C, H, W]; channels_last where it is so, and not contiguous too.
struct Dense {
  Tensor tensor;
  bool channels_last;

  explicit Dense(const Tensor& t) : tensor(t), channels_last(!dense(t, 0) && dense(t, 1)) {
    if (!channels_last) tensor = torch::stable::contiguous(t);
  }
};

Tensor new_maps(const Tensor& like, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, bool last) {
  if (!last) return torch::stable::new_empty(like, {n, c, h, w});
  const Tensor out = torch::stable::new_empty(like, {n, h, w, c});
  return torch::stable::transpose(torch::stable::transpose(out, 2, 3), 1, 2);
}

// [count, 5] in the number that the maps are computed in.
Tensor checked(const Tensor& features, const Tensor& boxes) {
  check(features.dim() == 4 && features.is_cpu(), "roi_align: features must be [B, C, H, W] on the CPU, got ",
        features.dim(), " dimensions");
  check(boxes.dim() == 2 && boxes.size(1) == 5 && boxes.is_cpu(), "roi_align: boxes must be [K, 5] on the CPU");
  const bool wide = features.scalar_type() == ScalarType::Double;
  check_type(boxes.scalar_type() == (wide ? ScalarType::Double : ScalarType::Float), "roi_align: boxes must be ",
             wide ? "float64 beside features of float64" : "float32");
  return torch::stable::contiguous(boxes);
}

Tensor roi_align(const Tensor& features, const Tensor& boxes, std::int64_t height, std::int64_t width, double scale,
                 std::int64_t sampling, bool aligned) {
  const Tensor flat = checked(features, boxes);
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  check(height >= 1 && width >= 1 && height < kMost && width < kMost,
        "roi_align: output_size must be 1 .. 2^31 - 1, got ", height, " x ", width);
  const Dense in(features);
  const roi::Shape shape{number_of(features), features.size(0), features.size(1),
                         features.size(2),    features.size(3), in.channels_last};
  const Tensor out = new_maps(features, flat.size(0), features.size(1), height, width, in.channels_last);
  roi::roi_align(in.tensor.const_data_ptr(), shape, {flat.const_data_ptr(), flat.size(0)},
                 {height, width, scale, sampling, aligned}, out.mutable_data_ptr(),
                 pyseg::torch_binding::TorchExecutor());
  return out;
}

Tensor roi_align_backward(const Tensor& gradient, const Tensor& boxes, std::int64_t batch, std::int64_t map_height,
                          std::int64_t map_width, double scale, std::int64_t sampling, bool aligned) {
  const Tensor flat = checked(gradient, boxes);
  check(gradient.size(0) == flat.size(0), "roi_align: the gradient must have as many results as there are boxes, ",
        flat.size(0), ", got ", gradient.size(0));
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  check(batch >= 0 && map_height >= 0 && map_width >= 0 && map_height < kMost && map_width < kMost,
        "roi_align: features must have sizes of 0 .. 2^31 - 1, got ", batch, ", ", map_height, " x ", map_width);
  const Dense in(gradient);
  const roi::Shape shape{number_of(gradient), batch, gradient.size(1), map_height, map_width, in.channels_last};
  const Tensor out = new_maps(gradient, batch, gradient.size(1), map_height, map_width, in.channels_last);
  roi::roi_align_backward(in.tensor.const_data_ptr(), shape, {flat.const_data_ptr(), flat.size(0)},
                          {gradient.size(2), gradient.size(3), scale, sampling, aligned}, out.mutable_data_ptr(),
                          pyseg::torch_binding::TorchExecutor());
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "roi_align(Tensor features, Tensor boxes, SymInt height, SymInt width, float scale, int sampling, bool aligned) "
      "-> Tensor");
  m.def(
      "roi_align_backward(Tensor gradient, Tensor boxes, SymInt batch, SymInt map_height, SymInt map_width, float "
      "scale, int sampling, bool aligned) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("roi_align", TORCH_BOX(&roi_align));
  m.impl("roi_align_backward", TORCH_BOX(&roi_align_backward));
}
