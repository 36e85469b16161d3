// torch.ops.pyseg.atrous_*: the kernels on packed weights; pyseg/ops/atrous_conv.py packs, keeps and differentiates.
#include "core/torch.h"

#include <optional>
#include <vector>

#include "atrous_conv/atrous_conv.h"

namespace {

using namespace pyseg::atrous_conv;
using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;
using Ints = std::vector<std::int64_t>;

// geometry: kernel, stride, padding, dilation (y and x each), algorithm.
Conv conv_of(std::int64_t images, std::int64_t channels, std::int64_t height, std::int64_t width, std::int64_t outputs,
             const Ints& geometry) {
  check(geometry.size() == 9, "atrous_conv2d: geometry must have 9 values, got ", geometry.size());
  const auto pair = [&](std::size_t i) { return std::array<std::int64_t, 2>{geometry[i], geometry[i + 1]}; };
  check(geometry[8] >= 0 && geometry[8] <= 3, "atrous_conv2d: algorithm must be 0 .. 3, got ", geometry[8]);
  const Conv conv{images,  channels, height,  width,   outputs,
                  pair(0), pair(2),  pair(4), pair(6), static_cast<Algorithm>(geometry[8])};
  check_conv(conv);
  return conv;
}

void check_floats(const char* name, const Tensor& t, std::int64_t dims) {
  check_type(t.scalar_type() == ScalarType::Float, "atrous_conv2d: ", name, " must be float32");
  check(t.dim() == dims, "atrous_conv2d: ", name, " must have ", dims, " dimensions, got ", t.dim());
}

// A dense batch, planes or channels last.
Input input_of(const char* name, const Tensor& t) {
  check_floats(name, t, 4);
  if (t.is_contiguous()) return {t.const_data_ptr<float>(), false};
  const std::int64_t c = t.size(1), h = t.size(2), w = t.size(3);
  check((t.stride(1) == 1 || c == 1) && (t.stride(3) == c || w == 1) && (t.stride(2) == w * c || h == 1) &&
            (t.stride(0) == h * w * c || t.size(0) == 1),
        "atrous_conv2d: ", name, " must be contiguous or channels_last");
  return {t.const_data_ptr<float>(), true};
}

// Where the result goes: dense planes, or pixels with their channels together and other channels between them.
Output output_of(const Conv& conv, Tensor& t) {
  check_floats("out", t, 4);
  const std::int64_t h = conv.out_size(0), w = conv.out_size(1);
  check(t.size(0) == conv.images && t.size(1) == conv.outputs && t.size(2) == h && t.size(3) == w,
        "atrous_conv2d: out must be [", conv.images, ", ", conv.outputs, ", ", h, ", ", w, "], got [", t.size(0), ", ",
        t.size(1), ", ", t.size(2), ", ", t.size(3), "]");
  if (t.is_contiguous()) return {t.mutable_data_ptr<float>(), false, conv.outputs};
  const std::int64_t row = w > 1 ? t.stride(3) : h > 1 ? t.stride(2) : t.stride(0);
  check(row >= conv.outputs && (t.stride(1) == 1 || conv.outputs == 1) && (t.stride(2) == w * row || h == 1) &&
            (t.stride(0) == h * w * row || conv.images == 1),
        "atrous_conv2d: out must be contiguous, or channels_last with room between pixels");
  return {t.mutable_data_ptr<float>(), true, row};
}

const float* per_channel(const char* name, const std::optional<Tensor>& t, std::int64_t outputs) {
  if (!t.has_value()) return nullptr;
  check_floats(name, *t, 1);
  check(t->size(0) == outputs && t->is_contiguous(), "atrous_conv2d: ", name, " must be [", outputs,
        "] and contiguous, got [", t->size(0), "]");
  return t->const_data_ptr<float>();
}

Tensor atrous_pack(const Tensor& weight, std::int64_t height, std::int64_t width, Ints geometry, bool transposed) {
  check_floats("weight", weight, 4);
  check(weight.is_contiguous(), "atrous_conv2d: weight must be contiguous");
  Conv conv = conv_of(1, weight.size(1), height, width, weight.size(0), geometry);
  check(weight.size(2) == conv.kernel[0] && weight.size(3) == conv.kernel[1], "atrous_conv2d: weight must be ",
        conv.kernel[0], " x ", conv.kernel[1], ", got ", weight.size(2), " x ", weight.size(3));
  if (transposed) {
    check(conv.stride[0] == 1 && conv.stride[1] == 1, "atrous_conv2d: a transposed convolution needs stride 1");
    conv = conv.transposed();
    check_conv(conv);
  }
  Tensor packed = torch::stable::new_empty(weight, {packed_size(conv)}, ScalarType::Float);
  pack(conv, weight.const_data_ptr<float>(), transposed, packed.mutable_data_ptr<float>(), TorchExecutor());
  return packed;
}

void atrous_forward(const Tensor& x, const Tensor& packed, Ints geometry, std::optional<Tensor> scale,
                    std::optional<Tensor> shift, bool relu, Tensor out) {
  const Input input = input_of("x", x);
  check_floats("out", out, 4);
  check_floats("packed", packed, 1);
  const Conv conv = conv_of(x.size(0), x.size(1), x.size(2), x.size(3), out.size(1), geometry);
  check(packed.size(0) == packed_size(conv) && packed.is_contiguous(),
        "atrous_conv2d: packed weights must be those of this convolution: ", packed_size(conv), " values, got ",
        packed.size(0));
  const pyseg::gemm::Epilogue epilogue{per_channel("scale", scale, conv.outputs),
                                       per_channel("shift", shift, conv.outputs), relu};
  forward(conv, input, packed.const_data_ptr<float>(), epilogue, output_of(conv, out), TorchExecutor());
}

Tensor atrous_grad_weight(const Tensor& x, const Tensor& grad, Ints geometry) {
  const Input input = input_of("x", x), gradient = input_of("grad", grad);
  const Conv conv = conv_of(x.size(0), x.size(1), x.size(2), x.size(3), grad.size(1), geometry);
  check(grad.size(0) == conv.images && grad.size(2) == conv.out_size(0) && grad.size(3) == conv.out_size(1),
        "atrous_conv2d: grad must be [", conv.images, ", outputs, ", conv.out_size(0), ", ", conv.out_size(1),
        "], got [", grad.size(0), ", ", grad.size(1), ", ", grad.size(2), ", ", grad.size(3), "]");
  Tensor result = torch::stable::new_empty(x, {conv.outputs, conv.channels, conv.kernel[0], conv.kernel[1]});
  grad_weight(conv, input, gradient, result.mutable_data_ptr<float>(), TorchExecutor());
  return result;
}

// Which combinations of taps the pieces of an image of this size use: one packing serves all that are equal.
std::int64_t atrous_combinations(std::int64_t height, std::int64_t width, Ints geometry, bool transposed) {
  const Conv conv = conv_of(1, 1, height, width, 1, geometry);
  return combinations(transposed ? conv.transposed() : conv);
}

std::int64_t atrous_fingerprint(const Tensor& weight) {
  check_floats("weight", weight, 4);
  check(weight.is_contiguous(), "atrous_conv2d: weight must be contiguous");
  return fingerprint(weight.const_data_ptr<float>(), weight.numel(), TorchExecutor());
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def("atrous_pack(Tensor weight, int height, int width, int[] geometry, bool transposed) -> Tensor");
  m.def(
      "atrous_forward(Tensor x, Tensor packed, int[] geometry, Tensor? scale, Tensor? shift, bool relu, "
      "Tensor(a!) out) -> ()");
  m.def("atrous_grad_weight(Tensor x, Tensor grad, int[] geometry) -> Tensor");
  m.def("atrous_combinations(int height, int width, int[] geometry, bool transposed) -> int");
  m.def("atrous_fingerprint(Tensor weight) -> int");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("atrous_pack", TORCH_BOX(&atrous_pack));
  m.impl("atrous_forward", TORCH_BOX(&atrous_forward));
  m.impl("atrous_grad_weight", TORCH_BOX(&atrous_grad_weight));
  m.impl("atrous_fingerprint", TORCH_BOX(&atrous_fingerprint));
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CompositeExplicitAutograd, m) {
  m.impl("atrous_combinations", TORCH_BOX(&atrous_combinations));
}
