// torch.ops.pyseg.deform_attention, its fused form, and their backward: schemas and CPU kernels.
#include "core/torch.h"

#include <optional>

#include "deform_attention/deform_attention.h"

namespace {

using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;
namespace deform = pyseg::deform_attention;
using OptionalTensor = std::optional<Tensor>;

deform::Shape shape_of(const Tensor& t) {
  deform::Shape shape;
  for (std::int64_t d = 0; d < t.dim(); ++d) shape.push_back(t.size(d));
  return shape;
}

deform::Float type_of(const char* name, const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return deform::Float::f32;
    case ScalarType::Double:
      return deform::Float::f64;
    case ScalarType::BFloat16:
      return deform::Float::bf16;
    case ScalarType::Half:
      return deform::Float::f16;
    default:
      throw pyseg::TypeError(pyseg::text("deform_attention: ", name, " must be float32, float64, bfloat16 or float16"));
  }
}

// The arguments, contiguous, and the problem that points to them.
struct Arguments {
  Tensor value, places, weights, reference;
  deform::Problem problem;

  Arguments(const Tensor& v, const Tensor& shapes, const OptionalTensor& starts, const OptionalTensor& r,
            const Tensor& p, const Tensor& w)
      : value(dense("value", v)), places(dense("points", p)), weights(dense("weights", w)) {
    check(shapes.dim() == 2 && shapes.size(1) == 2, "deform_attention: spatial_shapes must be [L, 2], got ",
          shapes.dim(), " dimensions");
    const std::int64_t levels = shapes.size(0);
    const Tensor sizes = integers("spatial_shapes", shapes);
    OptionalTensor first;
    if (starts) {
      check(starts->dim() == 1 && starts->size(0) == levels, "deform_attention: level_start_index must be [", levels,
            "] as spatial_shapes is");
      first = integers("level_start_index", *starts);
    }
    if (r) reference = dense("reference_points", *r);
    check(!r || r->dim() > 0, "deform_attention: reference_points must be [B, Q, L, 2 or 4], got a number");
    problem = deform::make_problem(shape_of(value), shape_of(places), shape_of(weights),
                                   r ? shape_of(reference) : deform::Shape{},
                                   static_cast<const std::int64_t*>(sizes.const_data_ptr()),
                                   first ? static_cast<const std::int64_t*>(first->const_data_ptr()) : nullptr, levels);
    problem.value = {value.const_data_ptr(), type_of("value", value)};
    problem.places = {places.const_data_ptr(), type_of("points", places)};
    problem.weights = {weights.const_data_ptr(), type_of("weights", weights)};
    // An empty tensor may have no memory; that there is a reference must still show.
    if (r)
      problem.reference = {reference.numel() == 0 ? this : reference.const_data_ptr(),
                           type_of("reference_points", reference)};
    deform::check_types(problem);
  }
  Arguments(const Arguments&) = delete;

  static Tensor dense(const char* name, const Tensor& t) {
    check(t.is_cpu(), "deform_attention: ", name, " must be on the CPU");
    return torch::stable::contiguous(t);
  }
  static Tensor integers(const char* name, const Tensor& t) {
    check_type(t.scalar_type() == ScalarType::Long, "deform_attention: ", name, " must be int64");
    return dense(name, t);
  }
  // What the gradients of points are of.
  ScalarType wide() const { return problem.value.type == deform::Float::f64 ? ScalarType::Double : ScalarType::Float; }
};

Tensor run(const Arguments& a) {
  const deform::Problem& p = a.problem;
  Tensor out = torch::stable::new_empty(a.value, {p.batch, p.queries, p.heads * p.channels});
  deform::forward(p, TorchExecutor(), out.mutable_data_ptr());
  return out;
}

// Of value, places, weights and reference; those not wanted are empty.
std::vector<Tensor> run_backward(const Arguments& a, const Tensor& grad, bool of_value, bool of_points,
                                 bool of_reference) {
  const deform::Problem& p = a.problem;
  check(grad.is_cpu() && shape_of(grad) == deform::Shape{p.batch, p.queries, p.heads * p.channels},
        "deform_attention: grad must have the shape of the result");
  check_type(type_of("grad", grad) == p.value.type, "deform_attention: grad must be of value's type");
  const Tensor cotangent = torch::stable::contiguous(grad);
  const auto made = [&](const Tensor& like, bool wanted, std::optional<ScalarType> type) {
    return torch::stable::new_empty(a.value, wanted ? shape_of(like) : deform::Shape{0}, type);
  };
  std::vector<Tensor> out{made(a.value, of_value, std::nullopt), made(a.places, of_points, a.wide()),
                          made(a.weights, of_points, a.wide())};
  if (p.fused()) out.push_back(made(a.reference, of_reference, a.wide()));
  deform::backward(p, cotangent.const_data_ptr(), TorchExecutor(),
                   {of_value ? out[0].mutable_data_ptr() : nullptr, of_points ? out[1].mutable_data_ptr() : nullptr,
                    of_points ? out[2].mutable_data_ptr() : nullptr,
                    of_reference && p.fused() ? out[3].mutable_data_ptr() : nullptr});
  return out;
}

Tensor forward(const Tensor& value, const Tensor& shapes, OptionalTensor starts, const Tensor& locations,
               const Tensor& weights) {
  return run({value, shapes, starts, std::nullopt, locations, weights});
}

Tensor fused(const Tensor& value, const Tensor& shapes, OptionalTensor starts, const Tensor& reference,
             const Tensor& offsets, const Tensor& logits) {
  return run({value, shapes, starts, reference, offsets, logits});
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad, const Tensor& value, const Tensor& shapes,
                                            OptionalTensor starts, const Tensor& locations, const Tensor& weights,
                                            bool of_value, bool of_points) {
  const auto out =
      run_backward({value, shapes, starts, std::nullopt, locations, weights}, grad, of_value, of_points, false);
  return {out[0], out[1], out[2]};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> fused_backward(const Tensor& grad, const Tensor& value, const Tensor& shapes,
                                                          OptionalTensor starts, const Tensor& reference,
                                                          const Tensor& offsets, const Tensor& logits, bool of_value,
                                                          bool of_points, bool of_reference) {
  const auto out =
      run_backward({value, shapes, starts, reference, offsets, logits}, grad, of_value, of_points, of_reference);
  return {out[0], out[3], out[1], out[2]};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "deform_attention(Tensor value, Tensor spatial_shapes, Tensor? level_start_index, Tensor sampling_locations, "
      "Tensor attention_weights) -> Tensor");
  m.def(
      "deform_attention_fused(Tensor value, Tensor spatial_shapes, Tensor? level_start_index, "
      "Tensor reference_points, Tensor offsets, Tensor weight_logits) -> Tensor");
  m.def(
      "deform_attention_backward(Tensor grad, Tensor value, Tensor spatial_shapes, Tensor? level_start_index, "
      "Tensor sampling_locations, Tensor attention_weights, bool of_value, bool of_points) -> "
      "(Tensor of_value, Tensor of_locations, Tensor of_weights)");
  m.def(
      "deform_attention_fused_backward(Tensor grad, Tensor value, Tensor spatial_shapes, Tensor? level_start_index, "
      "Tensor reference_points, Tensor offsets, Tensor weight_logits, bool of_value, bool of_points, "
      "bool of_reference) -> (Tensor of_value, Tensor of_reference, Tensor of_offsets, Tensor of_logits)");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("deform_attention", TORCH_BOX(&forward));
  m.impl("deform_attention_fused", TORCH_BOX(&fused));
  m.impl("deform_attention_backward", TORCH_BOX(&backward));
  m.impl("deform_attention_fused_backward", TORCH_BOX(&fused_backward));
}
