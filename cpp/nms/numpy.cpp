// nms on NumPy arrays.
#include "core/numpy.h"

#include <optional>

#include "nms/nms.h"

namespace pyseg::nms {

namespace py = pybind11;

namespace {

bool in_order(const py::array& a) { return (a.flags() & py::array::c_style) != 0; }

py::array_t<std::int64_t> run(const py::array& boxes, const py::array& scores, double threshold,
                              const std::optional<py::array_t<std::int64_t>>& classes) {
  const bool wide = boxes.itemsize() == 8;
  check_type(boxes.dtype().is(scores.dtype()) &&
                 (boxes.dtype().is(py::dtype::of<float>()) || boxes.dtype().is(py::dtype::of<double>())),
             "nms: boxes and scores must both be float32, or float64");
  check(boxes.ndim() == 2 && boxes.shape(1) == 4 && in_order(boxes), "nms: boxes must be [N, 4], in C order");
  const std::int64_t count = boxes.shape(0);
  check(scores.ndim() == 1 && scores.shape(0) == count && in_order(scores),
        "nms: scores must be one a box, in C order");
  if (classes)
    check(classes->ndim() == 1 && classes->shape(0) == count && in_order(*classes),
          "batched_nms: idxs must be one a box, in C order");
  py::array_t<std::int64_t> keep(count);
  const Problem problem{boxes.data(), scores.data(), classes ? classes->data() : nullptr, count, wide, threshold};
  std::int64_t* out = keep.mutable_data();
  std::int64_t n = 0;
  {
    const py::gil_scoped_release nogil;
    n = nms(problem, out, pool());
  }
  return py::array_t<std::int64_t>(n, out);
}

}  // namespace

void bind(py::module_& m) {
  m.def("nms", &run, py::arg("boxes"), py::arg("scores"), py::arg("threshold"), py::arg("classes"),
        "int64: the places of the boxes that are kept, in descending order of their scores.");
}

}  // namespace pyseg::nms
