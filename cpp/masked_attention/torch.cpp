// torch.ops.pyseg.masked_attention and mask_bitmap: schemas and CPU kernels.
#include "core/torch.h"

#include <optional>
#include <tuple>

#include "masked_attention/masked_attention.h"

namespace {

using namespace pyseg::masked_attention;
using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;

// [B, rows, D] whose last axis is dense: itself, or a copy.
Tensor dense_rows(const Tensor& t) { return t.size(2) == 1 || t.stride(2) == 1 ? t : torch::stable::contiguous(t); }

template <typename T>
Rows<const T> rows_of(const Tensor& t) {
  return {static_cast<const T*>(t.const_data_ptr()), t.stride(0), t.stride(1)};
}

// The arguments that both passes share, checked, and kept as dense rows.
struct Arguments {
  Tensor q, k, v, bits;
  Layout layout;
  std::int64_t heads;
  bool empty_all;

  Arguments(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask, std::int64_t height,
            std::int64_t width, std::int64_t heads_, bool empty)
      : q(query), k(key), v(value), bits(mask), layout{height, width}, heads(heads_), empty_all(empty) {
    const ScalarType dtype = q.scalar_type();
    check_type(dtype == ScalarType::Float || dtype == ScalarType::Double,
               "masked_attention: q must be float32 or float64");
    check_type(k.scalar_type() == dtype && v.scalar_type() == dtype && bits.scalar_type() == ScalarType::Short,
               "masked_attention: k and v must be of q's dtype, and the bitmap int16");
    check(q.is_cpu() && k.is_cpu() && v.is_cpu() && bits.is_cpu(), "masked_attention: tensors must be on the CPU");
    check(q.dim() == 3 && k.dim() == 3 && v.dim() == 3 && bits.dim() == 4,
          "masked_attention: q, k and v must have 3 dimensions, and the bitmap 4");
    check_layout(layout);
    check(k.size(0) == q.size(0) && k.size(2) == q.size(2) && k.size(1) == layout.keys(),
          "masked_attention: k must be [", q.size(0), ", ", layout.keys(), ", ", q.size(2), "], got [", k.size(0), ", ",
          k.size(1), ", ", k.size(2), "]");
    check(v.size(0) == k.size(0) && v.size(1) == k.size(1) && v.size(2) == k.size(2),
          "masked_attention: v must be of k's shape");
    check(heads >= 1 && q.size(2) % heads == 0, "masked_attention: heads must divide ", q.size(2), ", got ", heads);
    check(bits.size(0) == q.size(0) && bits.size(1) == q.size(1) && bits.size(2) == layout.chunks() &&
              bits.size(3) == kTiles,
          "masked_attention: the bitmap must be [", q.size(0), ", ", q.size(1), ", ", layout.chunks(), ", 16], got [",
          bits.size(0), ", ", bits.size(1), ", ", bits.size(2), ", ", bits.size(3), "]");
    q = dense_rows(q);
    k = dense_rows(k);
    v = dense_rows(v);
    bits = torch::stable::contiguous(bits);
  }

  template <typename T>
  Problem<T> problem() const {
    return {q.size(0),         heads,         q.size(1),
            q.size(2) / heads, layout,        rows_of<T>(q),
            rows_of<T>(k),     rows_of<T>(v), static_cast<const std::uint16_t*>(bits.const_data_ptr()),
            empty_all};
  }
};

Tensor fresh_like(const Tensor& t) { return torch::stable::new_empty(t, {t.size(0), t.size(1), t.size(2)}); }

std::tuple<Tensor, Tensor> masked_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bits,
                                            std::int64_t height, std::int64_t width, std::int64_t heads,
                                            bool empty_all) {
  const Arguments a(q, k, v, bits, height, width, heads, empty_all);
  Tensor out = fresh_like(q);
  Tensor lse = torch::stable::new_empty(q, {q.size(0), heads, q.size(1)});
  if (q.scalar_type() == ScalarType::Float)
    forward(a.problem<float>(), out.mutable_data_ptr<float>(), lse.mutable_data_ptr<float>(), TorchExecutor());
  else forward(a.problem<double>(), out.mutable_data_ptr<double>(), lse.mutable_data_ptr<double>(), TorchExecutor());
  return {out, lse};
}

template <typename T>
void gradients(const Arguments& a, const Tensor& grad, const Tensor& out, const Tensor& lse, Tensor& of_q, Tensor& of_k,
               Tensor& of_v) {
  backward(a.problem<T>(),
           Gradients<T>{rows_of<T>(out), rows_of<T>(grad), static_cast<const T*>(lse.const_data_ptr()),
                        of_q.mutable_data_ptr<T>(), of_k.mutable_data_ptr<T>(), of_v.mutable_data_ptr<T>()},
           TorchExecutor());
}

std::tuple<Tensor, Tensor, Tensor> masked_attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k,
                                                             const Tensor& v, const Tensor& bits, const Tensor& out,
                                                             const Tensor& lse, std::int64_t height, std::int64_t width,
                                                             std::int64_t heads, bool empty_all) {
  const Arguments a(q, k, v, bits, height, width, heads, empty_all);
  for (const Tensor* t : {&grad, &out}) {
    check(t->dim() == 3 && t->size(0) == q.size(0) && t->size(1) == q.size(1) && t->size(2) == q.size(2) && t->is_cpu(),
          "masked_attention: grad and out must be of q's shape, on the CPU");
    check_type(t->scalar_type() == q.scalar_type(), "masked_attention: grad and out must be of q's dtype");
  }
  check(lse.dim() == 3 && lse.size(0) == q.size(0) && lse.size(1) == heads && lse.size(2) == q.size(1) && lse.is_cpu(),
        "masked_attention: lse must be [B, heads, Q], on the CPU");
  check_type(lse.scalar_type() == q.scalar_type(), "masked_attention: lse must be of q's dtype");
  Tensor of_q = fresh_like(q), of_k = fresh_like(k), of_v = fresh_like(v);
  const Tensor g = dense_rows(grad), o = dense_rows(out), l = torch::stable::contiguous(lse);
  if (q.scalar_type() == ScalarType::Float) gradients<float>(a, g, o, l, of_q, of_k, of_v);
  else gradients<double>(a, g, o, l, of_q, of_k, of_v);
  return {of_q, of_k, of_v};
}

Tensor new_bits(const Tensor& t, const Layout& layout) {
  return torch::stable::new_empty(t, {t.size(0), t.size(1), layout.chunks(), kTiles}, ScalarType::Short);
}

Tensor mask_bitmap(const Tensor& logits, std::int64_t height, std::int64_t width, double threshold) {
  check_type(logits.scalar_type() == ScalarType::Float, "mask_bitmap: mask_logits must be float32");
  check(logits.dim() == 4 && logits.is_cpu(), "mask_bitmap: mask_logits must be [B, Q, h, w], on the CPU");
  const Layout layout{height, width};
  check_layout(layout);
  const Tensor dense = torch::stable::contiguous(logits);
  Tensor bits = new_bits(logits, layout);
  bits_of_logits(dense.const_data_ptr<float>(), logits.size(0) * logits.size(1), logits.size(2), logits.size(3), layout,
                 static_cast<float>(threshold), static_cast<std::uint16_t*>(bits.mutable_data_ptr()), TorchExecutor());
  return bits;
}

Tensor mask_bits(const Tensor& mask, std::int64_t height, std::int64_t width) {
  check_type(mask.scalar_type() == ScalarType::Bool, "masked_attention: attn_mask must be bool");
  const Layout layout{height, width};
  check_layout(layout);
  check(mask.dim() == 3 && mask.is_cpu() && mask.size(2) == layout.keys(),
        "masked_attention: attn_mask must be [B, Q, ", layout.keys(), "], on the CPU");
  const Tensor dense = torch::stable::contiguous(mask);
  Tensor bits = new_bits(mask, layout);
  bits_of_bytes(static_cast<const std::uint8_t*>(dense.const_data_ptr()), mask.size(0) * mask.size(1), layout,
                static_cast<std::uint16_t*>(bits.mutable_data_ptr()), TorchExecutor());
  return bits;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "masked_attention(Tensor q, Tensor k, Tensor v, Tensor bits, SymInt height, SymInt width, int heads, "
      "bool empty_all) -> (Tensor out, Tensor lse)");
  m.def(
      "masked_attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor bits, Tensor out, Tensor lse, "
      "SymInt height, SymInt width, int heads, bool empty_all) -> (Tensor of_q, Tensor of_k, Tensor of_v)");
  m.def("mask_bitmap(Tensor mask_logits, SymInt height, SymInt width, float threshold) -> Tensor");
  m.def("mask_bits(Tensor mask, SymInt height, SymInt width) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("masked_attention", TORCH_BOX(&masked_attention));
  m.impl("masked_attention_backward", TORCH_BOX(&masked_attention_backward));
  m.impl("mask_bitmap", TORCH_BOX(&mask_bitmap));
  m.impl("mask_bits", TORCH_BOX(&mask_bits));
}
