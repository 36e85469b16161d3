// superpixel_stats on NumPy arrays.
#include "superpixel_stats/superpixel_stats.h"

#include <optional>

#include "core/numpy.h"

namespace pyseg::superpixel_stats {

namespace py = pybind11;

namespace {

// [n], or [n, columns].
template <typename T>
py::array_t<T> array(const std::vector<T>& values, py::ssize_t columns = 0) {
  const auto size = static_cast<py::ssize_t>(values.size());
  py::array_t<T> out(columns == 0 ? std::vector<py::ssize_t>{size} : std::vector<py::ssize_t>{size / columns, columns});
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

py::dict run(const py::array_t<std::int32_t, py::array::c_style>& labels, const py::array& image,
             const std::array<int, 4>& axes, std::int64_t n, std::int32_t start_label, bool lab) {
  const ImageView view = numpy::image_view("superpixel_stats", image, axes);
  check(labels.size() == view.pixels(), "superpixel_stats: labels must have the image's shape without channels");
  Stats s;
  {
    const py::gil_scoped_release nogil;
    s = superpixel_stats(labels.data(), view, n, start_label, lab, pool());
  }
  py::dict out;
  out["area"] = array(s.area);
  out["center"] = array(s.center, 3);
  out["box"] = array(s.box, 6);
  out["mean"] = array(s.mean, static_cast<py::ssize_t>(view.channels()));
  if (lab) out["mean_lab"] = array(s.mean_lab, 3);
  out["edges"] = array(s.edges, 2);
  out["boundary"] = array(s.boundary);
  return out;
}

}  // namespace

void bind(py::module_& m) {
  m.def("superpixel_stats", &run, py::arg("labels").noconvert(), py::arg("image"), py::arg("axes"), py::arg("n"),
        py::arg("start_label"), py::arg("lab"));
}

}  // namespace pyseg::superpixel_stats
