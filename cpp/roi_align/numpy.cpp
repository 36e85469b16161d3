// roi_align on NumPy arrays.
#include "core/numpy.h"

#include "roi_align/roi_align.h"

namespace pyseg::roi_align {

namespace py = pybind11;

namespace {

Number number_of(const py::array& array) {
  const auto size = array.itemsize();
  check_type(array.dtype().kind() == 'f' && (size == 2 || size == 4 || size == 8) &&
                 (array.dtype().byteorder() == '=' || array.dtype().byteorder() == '<'),
             "roi_align: features must be float16, float32 or float64 in the machine's byte order, got ",
             std::string(py::str(array.dtype())));
  return size == 2 ? Number::f16 : size == 4 ? Number::f32 : Number::f64;
}

// features [B, C, H, W], or [B, H, W, C] with `channels_last`, in C order; the result likewise.
py::array run(const py::array& features, const py::array& boxes, std::int64_t height, std::int64_t width, double scale,
              std::int64_t sampling, bool aligned, bool channels_last) {
  check(features.ndim() == 4 && (features.flags() & py::array::c_style) != 0,
        "roi_align: features must have 4 axes, in C order");
  check(boxes.ndim() == 2 && boxes.shape(1) == 5 && (boxes.flags() & py::array::c_style) != 0,
        "roi_align: boxes must be [K, 5], in C order");
  Shape shape{number_of(features), features.shape(0), 0, 0, 0, channels_last};
  const int axis = channels_last ? 3 : 1;
  shape.channels = features.shape(axis);
  shape.height = features.shape(channels_last ? 1 : 2);
  shape.width = features.shape(channels_last ? 2 : 3);
  check_type(boxes.dtype().kind() == 'f' && boxes.itemsize() == (shape.number == Number::f64 ? 8 : 4),
             "roi_align: boxes must be float64 beside features of float64, else float32");
  check(height >= 1 && width >= 1 && height < (std::int64_t{1} << 31) && width < (std::int64_t{1} << 31),
        "roi_align: output_size must be 1 .. 2^31 - 1, got ", height, " x ", width);
  const Boxes list{boxes.data(), boxes.shape(0)};
  std::vector<py::ssize_t> sizes{list.count, shape.channels, height, width};
  if (channels_last) sizes = {list.count, height, width, shape.channels};
  py::array out(features.dtype(), sizes);
  const void* in = features.data();
  void* to = out.mutable_data();
  {
    const py::gil_scoped_release nogil;
    roi_align(in, shape, list, {height, width, scale, sampling, aligned}, to, pool());
  }
  return out;
}

}  // namespace

void bind(py::module_& m) {
  m.def("roi_align", &run, py::arg("features"), py::arg("boxes"), py::arg("height"), py::arg("width"), py::arg("scale"),
        py::arg("sampling"), py::arg("aligned"), py::arg("channels_last"),
        "[K, C, height, width], or [K, height, width, C] where channels_last, of the features' dtype.");
}

}  // namespace pyseg::roi_align
