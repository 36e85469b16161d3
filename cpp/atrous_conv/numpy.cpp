// atrous_conv2d on NumPy arrays.
#include "core/numpy.h"

#include <optional>

#include "atrous_conv/atrous_conv.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {

namespace py = pybind11;

namespace {

template <typename T>
using Dense = py::array_t<T, py::array::c_style>;

Conv conv_of(const py::array& x, const py::array& weight, const std::array<std::int64_t, 7>& g) {
  check(x.ndim() == 4 && weight.ndim() == 4, "atrous_conv2d: x and weight must have 4 dimensions, got ", x.ndim(),
        " and ", weight.ndim());
  check(x.shape(1) == weight.shape(1), "atrous_conv2d: weight must have the channels of x, ", x.shape(1), ", got ",
        weight.shape(1));
  check(g[6] >= 0 && g[6] <= 3, "atrous_conv2d: algorithm must be 0 .. 3, got ", g[6]);
  const Conv conv{x.shape(0),      x.shape(1),
                  x.shape(2),      x.shape(3),
                  weight.shape(0), {weight.shape(2), weight.shape(3)},
                  {g[0], g[1]},    {g[2], g[3]},
                  {g[4], g[5]},    static_cast<Algorithm>(g[6])};
  check_conv(conv);
  return conv;
}

template <typename T>
const T* per_channel(const std::optional<Dense<T>>& bias, std::int64_t outputs) {
  if (!bias) return nullptr;
  check(bias->ndim() == 1 && bias->shape(0) == outputs, "atrous_conv2d: bias must be [", outputs, "]");
  return bias->data();
}

Dense<float> run(const Dense<float>& x, const Dense<float>& weight, const std::optional<Dense<float>>& bias,
                 const std::array<std::int64_t, 7>& geometry, bool relu) {
  const Conv conv = conv_of(x, weight, geometry);
  const gemm::Epilogue epilogue{nullptr, per_channel(bias, conv.outputs), relu};
  Dense<float> out({conv.images, conv.outputs, conv.out_size(0), conv.out_size(1)});
  float* to = out.mutable_data();
  const float *from = x.data(), *w = weight.data();
  {
    const py::gil_scoped_release nogil;
    Scratch<float> packed;
    pack(conv, w, false, packed.take(packed_size(conv)), pool());
    forward(conv, {from, false}, packed.get(), epilogue, {to, false, conv.outputs}, pool());
  }
  return out;
}

Dense<double> run_double(const Dense<double>& x, const Dense<double>& weight, const std::optional<Dense<double>>& bias,
                         const std::array<std::int64_t, 7>& geometry, bool relu) {
  const Conv conv = conv_of(x, weight, geometry);
  const double* shift = per_channel(bias, conv.outputs);
  Dense<double> out({conv.images, conv.outputs, conv.out_size(0), conv.out_size(1)});
  double* to = out.mutable_data();
  const double *from = x.data(), *w = weight.data();
  {
    const py::gil_scoped_release nogil;
    forward_double(conv, from, w, shift, relu, to, pool());
  }
  return out;
}

}  // namespace

void bind(py::module_& m) {
  const char* text =
      "Planes [N, O, OH, OW] from x [N, C, H, W] and weight [O, C, kh, kw]. geometry: stride, padding, dilation (y and "
      "x "
      "each), algorithm (0 direct, 1 winograd, 2 winograd with F(4,3), 3 pointwise; float64 is direct).";
  m.def("atrous_conv2d", &run, py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("bias").noconvert().none(true), py::arg("geometry"), py::arg("relu"), text);
  m.def("atrous_conv2d", &run_double, py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("bias").noconvert().none(true), py::arg("geometry"), py::arg("relu"), text);
}

}  // namespace pyseg::atrous_conv
