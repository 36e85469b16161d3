// deform_attention on NumPy arrays: forward.
#include <optional>

#include "core/numpy.h"
#include "deform_attention/deform_attention.h"

namespace pyseg::deform_attention {

namespace py = pybind11;

namespace {

using Integers = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

Shape shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

Array view_of(const char* name, const py::array& array) {
  const auto size = array.itemsize();
  check_type(array.dtype().kind() == 'f' && (size == 2 || size == 4 || size == 8) &&
                 (array.dtype().byteorder() == '=' || array.dtype().byteorder() == '|'),
             "deform_attention: ", name, " must be float16, float32 or float64 in the machine's byte order, got ",
             std::string(py::str(array.dtype())));
  check((array.flags() & py::array::c_style) != 0, "deform_attention: ", name, " must be contiguous");
  return {array.data(), size == 2 ? Float::f16 : size == 4 ? Float::f32 : Float::f64};
}

py::array run(const py::array& value, const Integers& shapes, const std::optional<Integers>& starts,
              const std::optional<py::array>& reference, const py::array& places, const py::array& weights) {
  check(shapes.ndim() == 2 && shapes.shape(1) == 2, "deform_attention: spatial_shapes must be [L, 2]");
  check(!starts || (starts->ndim() == 1 && starts->shape(0) == shapes.shape(0)),
        "deform_attention: level_start_index must be [L] as spatial_shapes is");
  check(!reference || reference->ndim() > 0, "deform_attention: reference_points must be [B, Q, L, 2 or 4]");
  Problem problem =
      make_problem(shape_of(value), shape_of(places), shape_of(weights), reference ? shape_of(*reference) : Shape{},
                   shapes.data(), starts ? starts->data() : nullptr, shapes.shape(0));
  problem.value = view_of("value", value);
  problem.places = view_of(reference ? "offsets" : "sampling_locations", places);
  problem.weights = view_of("weights", weights);
  if (reference) problem.reference = view_of("reference_points", *reference);
  check_types(problem);
  py::array out(value.dtype(),
                std::vector<py::ssize_t>{problem.batch, problem.queries, problem.heads * problem.channels});
  void* data = out.mutable_data();
  {
    const py::gil_scoped_release nogil;
    forward(problem, pool(), data);
  }
  return out;
}

}  // namespace

void bind(py::module_& m) {
  m.def("deform_attention", &run, py::arg("value"), py::arg("spatial_shapes"), py::arg("level_start_index"),
        py::arg("reference_points"), py::arg("places"), py::arg("weights"),
        "[B, Q, M * D]. places: locations beside weights or, with reference points, offsets beside logits.");
}

}  // namespace pyseg::deform_attention
