// paste_masks on NumPy arrays.
#include "core/numpy.h"

#include <optional>

#include "paste_masks/paste_masks.h"

namespace pyseg::paste_masks {

namespace py = pybind11;

namespace {

py::array run(const py::array& masks, const py::array& boxes, std::int64_t height, std::int64_t width,
              std::optional<float> threshold, bool whole_pixels) {
  const auto in_order = [](const py::array& a) { return (a.flags() & py::array::c_style) != 0; };
  check(masks.ndim() == 3 && in_order(masks), "paste_masks: masks must be [N, h, w], in C order");
  check_type(masks.dtype().is(py::dtype::of<float>()), "paste_masks: masks must be float32");
  check(boxes.ndim() == 2 && boxes.shape(1) == 4 && boxes.shape(0) == masks.shape(0) && in_order(boxes),
        "paste_masks: boxes must be [N, 4], one a mask, in C order");
  const bool wide = boxes.dtype().is(py::dtype::of<double>());
  check_type(wide || boxes.dtype().is(py::dtype::of<float>()), "paste_masks: boxes must be float32 or float64");
  check(height >= 0 && width >= 0 && height < (std::int64_t{1} << 31) && width < (std::int64_t{1} << 31),
        "paste_masks: image_size must be 0 .. 2^31 - 1, got ", height, " x ", width);
  const Problem problem{static_cast<const float*>(masks.data()),
                        boxes.data(),
                        wide,
                        masks.shape(0),
                        masks.shape(1),
                        masks.shape(2),
                        height,
                        width,
                        whole_pixels ? Convention::whole : Convention::exact};
  const std::vector<py::ssize_t> sizes{masks.shape(0), height, width};
  py::array out(threshold ? py::dtype::of<bool>() : py::dtype::of<float>(), sizes);
  void* data = out.mutable_data();
  {
    const py::gil_scoped_release nogil;
    if (threshold) paste(problem, *threshold, static_cast<std::uint8_t*>(data), pool());
    else paste(problem, static_cast<float*>(data), pool());
  }
  return out;
}

}  // namespace

void bind(py::module_& m) {
  m.def("paste_masks", &run, py::arg("masks"), py::arg("boxes"), py::arg("height"), py::arg("width"),
        py::arg("threshold"), py::arg("whole_pixels"), "bool [N, height, width], or float32 without a threshold.");
}

}  // namespace pyseg::paste_masks
