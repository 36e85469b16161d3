// max_pool and max_unpool on NumPy arrays, contiguous [B, C, D, H, W].
#include "core/numpy.h"

#include "max_unpool/max_unpool.h"

namespace pyseg::max_unpool {

namespace py = pybind11;

namespace {

using Ints = std::array<std::int64_t, 12>;  // kernel, stride, padding, dilation, for depth, height and width

Value value_of(const py::array& a) {
  const auto size = a.itemsize();
  check_type(a.dtype().kind() == 'f' && (size == 2 || size == 4 || size == 8) && a.dtype().byteorder() != '>',
             "max_unpool: values must be float16, float32 or float64, got ", std::string(py::str(a.dtype())));
  return size == 2 ? Value::f16 : size == 4 ? Value::f32 : Value::f64;
}

Problem problem_of(const py::array& a, const Ints& window, Sizes& spatial) {
  Problem p;
  p.value = value_of(a);
  check(a.ndim() == 5 && (a.flags() & py::array::c_style) != 0,
        "max_unpool: arrays must be contiguous [B, C, D, H, W], got ", a.ndim(), " axes");
  p.batch = a.shape(0);
  p.channels = a.shape(1);
  for (std::size_t i = 0; i < 3; ++i) {
    spatial[i] = a.shape(static_cast<py::ssize_t>(i) + 2);
    p.kernel[i] = window[i];
    p.stride[i] = window[3 + i];
    p.padding[i] = window[6 + i];
    p.dilation[i] = window[9 + i];
  }
  return p;
}

py::tuple run_pool(const py::array& x, const Ints& window, bool ceil_mode, int index) {
  check(index >= 0 && index <= 2, "max_pool: index must be 0 .. 2, got ", index);
  Sizes large{};
  Problem p = problem_of(x, window, large);
  p.large = large;
  p.index = static_cast<Index>(index);
  for (std::size_t a = 0; a < 3; ++a)
    p.small[a] = pooled_size("max_pool", p.large[a], p.kernel[a], p.stride[a], p.padding[a], p.dilation[a], ceil_mode);
  verify("max_pool", p, true);
  const std::vector<py::ssize_t> shape{p.batch, p.channels, p.small[0], p.small[1], p.small[2]};
  py::array y(x.dtype(), shape);
  py::array indices(py::dtype(index == 0 ? "uint8" : index == 1 ? "int32" : "int64"), shape);
  const void* from = x.data();
  void *to = y.mutable_data(), *at = indices.mutable_data();
  huge_pages(to, y.nbytes());
  huge_pages(at, indices.nbytes());
  {
    const py::gil_scoped_release nogil;
    pool(p, from, to, at, pyseg::pool());
  }
  return py::make_tuple(y, indices);
}

void run_spread(const py::array& y, const py::array& indices, const Ints& window, bool windowed,
                const std::optional<py::array_t<double>>& scale, const std::optional<py::array_t<double>>& shift,
                bool relu, py::array& out) {
  Sizes small{};
  Problem p = problem_of(y, window, small);
  p.small = small;
  const char kind = indices.dtype().kind();
  const auto size = indices.itemsize();
  check_type(
      ((kind == 'u' && size == 1) || (kind == 'i' && (size == 4 || size == 8))) && indices.dtype().byteorder() != '>',
      "max_unpool: indices must be uint8, int32 or int64, got ", std::string(py::str(indices.dtype())));
  p.index = size == 1 ? Index::tap : size == 4 ? Index::i32 : Index::i64;
  Sizes large{};
  problem_of(out, window, large);
  p.large = large;
  check(value_of(out) == p.value && out.shape(0) == p.batch && out.shape(1) == p.channels && out.writeable(),
        "max_unpool: out must have the values' dtype, batch and channels, and be writeable");
  bool same = indices.ndim() == 5 && (indices.flags() & py::array::c_style) != 0;
  for (py::ssize_t d = 0; same && d < 5; ++d) same = indices.shape(d) == y.shape(d);
  check(same, "max_unpool: indices must be contiguous and have the shape of the pooled values");
  verify("max_unpool", p, false);
  Affine affine;
  affine.relu = relu;
  for (const auto& [given, to] : {std::pair{&scale, &affine.scale}, std::pair{&shift, &affine.shift}}) {
    if (!*given) continue;
    check((*given)->ndim() == 1 && (*given)->shape(0) == p.channels && ((*given)->flags() & py::array::c_style) != 0,
          "max_unpool: scale and shift must be contiguous [", p.channels, "]");
    *to = (*given)->data();
  }
  const void *from = y.data(), *at = indices.data();
  void* to = out.mutable_data();
  const auto overlap = [&](const void* q, py::ssize_t bytes) {
    return static_cast<const std::byte*>(q) < static_cast<const std::byte*>(to) + out.nbytes() &&
           static_cast<const std::byte*>(to) < static_cast<const std::byte*>(q) + bytes;
  };
  check(!overlap(from, y.nbytes()) && !overlap(at, indices.nbytes()),
        "max_unpool: out must not share memory with the input");
  const py::gil_scoped_release nogil;
  spread(p, from, at, to, false, windowed, affine, pyseg::pool());
}

}  // namespace

void bind(py::module_& m) {
  m.def("max_pool", &run_pool, py::arg("x"), py::arg("window"), py::arg("ceil_mode"), py::arg("index"),
        "(values, indices) of x [B, C, D, H, W]. window: kernel, stride, padding, dilation, three values each; index: "
        "0 for uint8, 1 for int32, 2 for int64.");
  m.def("max_spread", &run_spread, py::arg("y"), py::arg("indices"), py::arg("window"), py::arg("windowed"),
        py::arg("scale"), py::arg("shift"), py::arg("relu"), py::arg("out"), "Unpools into out [B, C, D, H, W].");
  m.def(
      "max_unpool_output",
      [](const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
        py::array out(dtype, shape);
        huge_pages(out.mutable_data(), out.nbytes());
        return out;
      },
      py::arg("shape"), py::arg("dtype"), "An array that is not written yet, in large pages.");
}

}  // namespace pyseg::max_unpool
