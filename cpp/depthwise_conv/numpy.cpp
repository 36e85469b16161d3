// depthwise_conv2d on NumPy arrays.
#include "core/numpy.h"

#include <optional>

#include "depthwise_conv/depthwise_conv.h"

namespace pyseg::depthwise_conv {

namespace py = pybind11;

namespace {

constexpr const char* kOp = "depthwise_conv2d";

Kind kind_of(const py::array& a) {
  const char kind = a.dtype().kind();
  check_type(
      kind == 'f' && (a.itemsize() == 2 || a.itemsize() == 4 || a.itemsize() == 8) && a.dtype().byteorder() != '>', kOp,
      ": x must be float16, float32 or float64, got ", std::string(py::str(a.dtype())));
  return a.itemsize() == 2 ? Kind::f16 : a.itemsize() == 4 ? Kind::f32 : Kind::f64;
}

Array array_of(const py::array& a, const char* name) {
  check(a.ndim() == 4, kOp, ": ", name, " must have 4 dimensions, got ", a.ndim());
  Array result;
  result.data = const_cast<void*>(a.data());
  for (std::size_t d = 0; d < 4; ++d) {
    const auto i = static_cast<py::ssize_t>(d);
    check(a.strides(i) % a.itemsize() == 0, kOp, ": ", name, " must have strides of whole elements");
    result.size[d] = a.shape(i);
    result.stride[d] = a.strides(i) / a.itemsize();
  }
  return result;
}

py::array run(const py::array& x, const py::array& weight, const std::optional<py::array>& bias,
              const std::array<std::int64_t, 2>& stride, const std::array<std::int64_t, 4>& padding,
              const std::array<std::int64_t, 2>& dilation, bool relu) {
  const Kind kind = kind_of(x);
  const Array a = array_of(x, "x"), w = array_of(weight, "weight");
  check_type(kind_of(weight) == kind && (!bias || kind_of(*bias) == kind), kOp,
             ": x, weight and bias must be of one dtype");
  check(!bias || (bias->ndim() == 1 && bias->shape(0) == w.size[0] && bias->strides(0) % bias->itemsize() == 0), kOp,
        ": bias must be [", w.size[0], "], with strides of whole elements");
  const Geometry geometry{stride, padding, dilation};
  const auto [height, width] = output_size(kOp, a.size, w.size, geometry);
  const bool last = a.size[1] > 1 && a.stride[1] == 1 && (x.flags() & py::array::c_style) == 0;
  const std::array<py::ssize_t, 4> shape{a.size[0], w.size[0], height, width};
  py::array out(x.dtype(), last ? std::array<py::ssize_t, 4>{shape[0], shape[2], shape[3], shape[1]} : shape);
  if (last) out = out.attr("transpose")(0, 3, 1, 2).cast<py::array>();
  const Array result = array_of(out, "result");
  {
    const py::gil_scoped_release nogil;
    forward(kind, a, w, bias ? bias->data() : nullptr, bias ? bias->strides(0) / bias->itemsize() : 0, geometry, relu,
            result, pool());
  }
  return out;
}

}  // namespace

void bind(py::module_& m) {
  m.def("depthwise_conv2d", &run, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("relu"),
        "[N, C m, OH, OW], in the memory format of x. padding: top, bottom, left, right.");
}

}  // namespace pyseg::depthwise_conv
