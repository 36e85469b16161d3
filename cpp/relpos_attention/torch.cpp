// torch.ops.pyseg.relpos_attention, of separate and of packed q, k, v, and their backward: schemas and CPU kernels.
// Height and width are those that the lengths of the tables, 2 H - 1 and 2 W - 1, say.
#include "core/torch.h"

#include <tuple>

#include "relpos_attention/relpos_attention.h"

namespace {

using namespace pyseg::relpos_attention;
using pyseg::check;
using pyseg::check_type;
using pyseg::text;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;

Float type_of(const char* name, const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return Float::f32;
    case ScalarType::Double:
      return Float::f64;
    case ScalarType::BFloat16:
      return Float::bf16;
    case ScalarType::Half:
      return Float::f16;
    default:
      throw pyseg::TypeError(text("relpos_attention: ", name, " must be float32, float64, bfloat16 or float16"));
  }
}

// [B, N, heads, d], or one of the three of [B, N, 3, heads, d].
View view_of(const Tensor& t, std::int64_t which = 0) {
  const bool packed = t.dim() == 5;
  View view;
  view.batch = t.stride(0);
  view.token = t.stride(1);
  view.head = t.stride(-2);
  view.channel = t.stride(-1);
  view.data = const_cast<void*>(t.const_data_ptr());
  if (packed && view.data != nullptr)
    view.data = static_cast<char*>(view.data) + which * t.stride(2) * size_of(type_of("qkv", t));
  return view;
}

struct Arguments {
  Tensor rel_h, rel_w;  // contiguous
  Problem problem;

  // qkv: one packed tensor, or three.
  Arguments(const Tensor* const (&qkv)[3], bool packed, const Tensor& h, const Tensor& w, double scale)
      : rel_h(table("rel_h", h)), rel_w(table("rel_w", w)) {
    const char* rule = packed ? "relpos_attention: qkv must be [B, H W, 3, heads, d]"
                              : "relpos_attention: q, k and v must be [B, H W, heads, d], all of one shape";
    const Tensor& q = *qkv[0];
    check(q.dim() == (packed ? 5 : 4) && (!packed || q.size(2) == 3), rule, ", got ", q.dim(), " dimensions");
    problem = {q.size(0),  q.size(-2), length(rel_h),          length(rel_w),
               q.size(-1), scale,      type_of("q", q),        {},
               {},         {},         rel_h.const_data_ptr(), rel_w.const_data_ptr()};
    check_problem(problem);
    check(q.size(1) == problem.tokens(), "relpos_attention: q must have ", problem.height, " x ", problem.width,
          " pixels, as the lengths of rel_h and rel_w say, got ", q.size(1));
    for (const Tensor* t : qkv) {
      check(t->is_cpu(), "relpos_attention: q, k and v must be on the CPU");
      check_type(t->scalar_type() == q.scalar_type(), "relpos_attention: q, k and v must be of one dtype");
      check(t->dim() == q.dim(), rule);
      for (std::int64_t i = 0; i < q.dim(); ++i)
        check(t->size(i) == q.size(i), rule, ", got ", t->size(i), " beside ", q.size(i));
    }
    const ScalarType wide = problem.type == Float::f64 ? ScalarType::Double : ScalarType::Float;
    for (const Tensor* t : {&rel_h, &rel_w}) {
      check_type(t->scalar_type() == wide,
                 "relpos_attention: rel_h and rel_w must be float64 where q is, else float32");
      check(t->size(1) == problem.channels, "relpos_attention: rel_h and rel_w must have ", problem.channels,
            " channels, as a head has, got ", t->size(1));
    }
    problem.q = view_of(q);
    problem.k = view_of(*qkv[1], 1);
    problem.v = view_of(*qkv[2], 2);
  }
  Arguments(const Arguments&) = delete;

  static Tensor table(const char* name, const Tensor& t) {
    check(t.is_cpu(), "relpos_attention: ", name, " must be on the CPU");
    check(t.dim() == 2 && t.size(0) % 2 == 1, "relpos_attention: ", name,
          " must be [2 size - 1, d], of an odd length, got ", t.dim(), " dimensions");
    return torch::stable::contiguous(t);
  }
  static std::int64_t length(const Tensor& t) { return (t.size(0) + 1) / 2; }
};

std::tuple<Tensor, Tensor> run(const Tensor& q, const Arguments& a) {
  const Problem& p = a.problem;
  Tensor out = torch::stable::new_empty(q, {p.batch, p.tokens(), p.heads, p.channels});
  Tensor norms = torch::stable::new_empty(q, {p.batch, p.heads, p.tokens(), 2}, a.rel_h.scalar_type());
  forward(p, view_of(out), norms.mutable_data_ptr(), TorchExecutor());
  return {out, norms};
}

// Into gradients of the shapes of qkv.
std::tuple<Tensor, Tensor> run_backward(const Tensor& grad, const Arguments& a, const Tensor& out, const Tensor& norms,
                                        const View& q, const View& k, const View& v) {
  const Problem& p = a.problem;
  for (const Tensor* t : {&grad, &out}) {
    check(t->is_cpu() && t->dim() == 4 && t->size(0) == p.batch && t->size(1) == p.tokens() && t->size(2) == p.heads &&
              t->size(3) == p.channels,
          "relpos_attention: the result and its gradient must be [", p.batch, ", ", p.tokens(), ", ", p.heads, ", ",
          p.channels, "]");
    check_type(type_of("grad", *t) == p.type, "relpos_attention: the result and its gradient must be of q's dtype");
  }
  check_type(norms.scalar_type() == a.rel_h.scalar_type(), "relpos_attention: norms must be of the tables' dtype");
  check(norms.is_cpu() && norms.is_contiguous() && norms.dim() == 4 && norms.size(3) == 2 && norms.size(0) == p.batch &&
            norms.size(1) == p.heads && norms.size(2) == p.tokens(),
        "relpos_attention: norms must be [", p.batch, ", ", p.heads, ", ", p.tokens(), ", 2] and contiguous");
  Tensor of_h = torch::stable::new_empty(a.rel_h, {a.rel_h.size(0), p.channels});
  Tensor of_w = torch::stable::new_empty(a.rel_w, {a.rel_w.size(0), p.channels});
  backward(p, view_of(out), norms.const_data_ptr(), view_of(grad),
           {q, k, v, of_h.mutable_data_ptr(), of_w.mutable_data_ptr()}, TorchExecutor());
  return {of_h, of_w};
}

std::tuple<Tensor, Tensor> attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& rel_h,
                                     const Tensor& rel_w, double scale) {
  return run(q, {{&q, &k, &v}, false, rel_h, rel_w, scale});
}

std::tuple<Tensor, Tensor> attention_packed(const Tensor& qkv, const Tensor& rel_h, const Tensor& rel_w, double scale) {
  return run(qkv, {{&qkv, &qkv, &qkv}, true, rel_h, rel_w, scale});
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> attention_backward(const Tensor& grad, const Tensor& q,
                                                                      const Tensor& k, const Tensor& v,
                                                                      const Tensor& rel_h, const Tensor& rel_w,
                                                                      const Tensor& out, const Tensor& norms,
                                                                      double scale) {
  const Arguments a({&q, &k, &v}, false, rel_h, rel_w, scale);
  const Problem& p = a.problem;
  const auto made = [&] { return torch::stable::new_empty(q, {p.batch, p.tokens(), p.heads, p.channels}); };
  Tensor of_q = made(), of_k = made(), of_v = made();
  const auto [of_h, of_w] = run_backward(grad, a, out, norms, view_of(of_q), view_of(of_k), view_of(of_v));
  return {of_q, of_k, of_v, of_h, of_w};
}

std::tuple<Tensor, Tensor, Tensor> attention_packed_backward(const Tensor& grad, const Tensor& qkv, const Tensor& rel_h,
                                                             const Tensor& rel_w, const Tensor& out,
                                                             const Tensor& norms, double scale) {
  const Arguments a({&qkv, &qkv, &qkv}, true, rel_h, rel_w, scale);
  const Problem& p = a.problem;
  Tensor of_qkv = torch::stable::new_empty(qkv, {p.batch, p.tokens(), 3, p.heads, p.channels});
  const auto [of_h, of_w] =
      run_backward(grad, a, out, norms, view_of(of_qkv, 0), view_of(of_qkv, 1), view_of(of_qkv, 2));
  return {of_qkv, of_h, of_w};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def("relpos_attention(Tensor q, Tensor k, Tensor v, Tensor rel_h, Tensor rel_w, float scale) -> (Tensor, Tensor)");
  m.def("relpos_attention_packed(Tensor qkv, Tensor rel_h, Tensor rel_w, float scale) -> (Tensor, Tensor)");
  m.def(
      "relpos_attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor rel_h, Tensor rel_w, Tensor out, "
      "Tensor norms, float scale) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "relpos_attention_packed_backward(Tensor grad, Tensor qkv, Tensor rel_h, Tensor rel_w, Tensor out, Tensor norms, "
      "float scale) -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("relpos_attention", TORCH_BOX(&attention));
  m.impl("relpos_attention_packed", TORCH_BOX(&attention_packed));
  m.impl("relpos_attention_backward", TORCH_BOX(&attention_backward));
  m.impl("relpos_attention_packed_backward", TORCH_BOX(&attention_packed_backward));
}
