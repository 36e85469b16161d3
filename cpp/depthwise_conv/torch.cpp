// torch.ops.pyseg.depthwise_conv2d and its gradients: schemas and CPU kernels. `padding` is of height and width, or
// top, bottom, left, right.
#include "core/torch.h"

#include <optional>
#include <vector>

#include "depthwise_conv/depthwise_conv.h"

namespace {

using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;
namespace dw = pyseg::depthwise_conv;

constexpr const char* kOp = "depthwise_conv2d";
using Ints = std::vector<std::int64_t>;

dw::Kind kind_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return dw::Kind::f32;
    case ScalarType::Double:
      return dw::Kind::f64;
    case ScalarType::Half:
      return dw::Kind::f16;
    case ScalarType::BFloat16:
      return dw::Kind::bf16;
    default:
      throw pyseg::TypeError(pyseg::text(kOp, ": x must be float32, float64, float16 or bfloat16"));
  }
}

dw::Array array_of(const Tensor& t, const char* name) {
  check(t.dim() == 4 && t.is_cpu(), kOp, ": ", name, " must have 4 dimensions, on the CPU, got ", t.dim());
  dw::Array a;
  a.data = const_cast<void*>(t.const_data_ptr());
  for (std::size_t d = 0; d < 4; ++d) {
    a.size[d] = t.size(static_cast<std::int64_t>(d));
    a.stride[d] = t.stride(static_cast<std::int64_t>(d));
  }
  return a;
}

dw::Geometry geometry_of(const Ints& stride, const Ints& padding, const Ints& dilation) {
  check(stride.size() == 2 && dilation.size() == 2 && (padding.size() == 2 || padding.size() == 4), kOp,
        ": stride and dilation must have 2 values, padding 2 or 4");
  dw::Geometry g;
  for (std::size_t i = 0; i < 2; ++i) {
    g.stride[i] = stride[i];
    g.dilation[i] = dilation[i];
    for (std::size_t end = 0; end < 2; ++end) g.padding[2 * i + end] = padding[padding.size() == 4 ? 2 * i + end : i];
  }
  return g;
}

// In the memory format of `like`: channels_last where its channels lie side by side.
Tensor empty_as(const Tensor& like, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  const auto type = like.scalar_type();
  if (like.is_contiguous() || like.stride(1) != 1 || like.size(1) < 2)
    return torch::stable::new_empty(like, {n, c, h, w}, type);
  const Tensor last = torch::stable::new_empty(like, {n, h, w, c}, type);
  return torch::stable::transpose(torch::stable::transpose(last, 2, 3), 1, 2);
}

// Throws unless grad, x and weight belong together.
dw::Geometry verified(const Tensor& grad, const Tensor& x, const Tensor& weight, const Ints& stride,
                      const Ints& padding, const Ints& dilation) {
  const dw::Geometry g = geometry_of(stride, padding, dilation);
  const dw::Array a = array_of(x, "x"), w = array_of(weight, "weight"), d = array_of(grad, "grad");
  check_type(grad.scalar_type() == x.scalar_type() && weight.scalar_type() == x.scalar_type(), kOp,
             ": grad, x and weight must be of one dtype");
  const auto [height, width] = dw::output_size(kOp, a.size, w.size, g);
  check(d.size == std::array<std::int64_t, 4>{a.size[0], w.size[0], height, width}, kOp,
        ": grad must have the shape of the result");
  return g;
}

Tensor forward(const Tensor& x, const Tensor& weight, std::optional<Tensor> bias, Ints stride, Ints padding,
               Ints dilation, bool relu) {
  const dw::Kind kind = kind_of(x);
  const dw::Geometry g = geometry_of(stride, padding, dilation);
  const dw::Array a = array_of(x, "x"), w = array_of(weight, "weight");
  check_type(weight.scalar_type() == x.scalar_type() && (!bias || bias->scalar_type() == x.scalar_type()), kOp,
             ": x, weight and bias must be of one dtype");
  check(!bias || (bias->dim() == 1 && bias->size(0) == w.size[0] && bias->is_cpu()), kOp, ": bias must be [", w.size[0],
        "], on the CPU");
  const auto [height, width] = dw::output_size(kOp, a.size, w.size, g);
  Tensor out = empty_as(x, a.size[0], w.size[0], height, width);
  dw::forward(kind, a, w, bias ? bias->const_data_ptr() : nullptr, bias ? bias->stride(0) : 0, g, relu,
              array_of(out, "out"), TorchExecutor());
  return out;
}

Tensor grad_input(const Tensor& grad, const Tensor& x, const Tensor& weight, Ints stride, Ints padding, Ints dilation) {
  const dw::Geometry g = verified(grad, x, weight, stride, padding, dilation);
  Tensor out = empty_as(x, x.size(0), x.size(1), x.size(2), x.size(3));
  dw::grad_input(kind_of(x), array_of(grad, "grad"), array_of(weight, "weight"), g, array_of(out, "out"),
                 TorchExecutor());
  return out;
}

Tensor grad_weight(const Tensor& grad, const Tensor& x, const Tensor& weight, Ints stride, Ints padding,
                   Ints dilation) {
  const dw::Geometry g = verified(grad, x, weight, stride, padding, dilation);
  Tensor out =
      torch::stable::new_empty(weight, {weight.size(0), 1, weight.size(2), weight.size(3)}, weight.scalar_type());
  dw::grad_weight(kind_of(x), array_of(grad, "grad"), array_of(x, "x"), g, array_of(out, "out"), TorchExecutor());
  return out;
}

Tensor grad_bias(const Tensor& grad) {
  Tensor out = torch::stable::new_empty(grad, {array_of(grad, "grad").size[1]}, grad.scalar_type());
  dw::grad_bias(kind_of(grad), array_of(grad, "grad"), out.mutable_data_ptr(), TorchExecutor());
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "depthwise_conv2d(Tensor x, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, "
      "bool relu) -> Tensor");
  m.def(
      "depthwise_conv2d_grad_input(Tensor grad, Tensor x, Tensor weight, int[] stride, int[] padding, "
      "int[] dilation) -> Tensor");
  m.def(
      "depthwise_conv2d_grad_weight(Tensor grad, Tensor x, Tensor weight, int[] stride, int[] padding, "
      "int[] dilation) -> Tensor");
  m.def("depthwise_conv2d_grad_bias(Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("depthwise_conv2d", TORCH_BOX(&forward));
  m.impl("depthwise_conv2d_grad_input", TORCH_BOX(&grad_input));
  m.impl("depthwise_conv2d_grad_weight", TORCH_BOX(&grad_weight));
  m.impl("depthwise_conv2d_grad_bias", TORCH_BOX(&grad_bias));
}
