// turbopixels on NumPy arrays.
#include "core/numpy.h"

#include "turbopixels/turbopixels.h"

namespace pyseg::turbopixels {

namespace py = pybind11;

namespace {

py::tuple run(const py::array& image, const std::array<int, 4>& axes, std::int64_t n_segments, double alpha,
              double beta, double nu, double gamma, double sigma, std::int64_t max_iter, bool enforce_connectivity,
              std::int32_t start_label) {
  const ImageView view = numpy::image_view("turbopixels", image, axes);
  check_size(view);
  const Options options{n_segments, alpha, beta, nu, gamma, sigma, max_iter, enforce_connectivity, start_label};
  py::array_t<std::int32_t> labels({view.height(), view.width()});
  std::int32_t* out = labels.mutable_data();
  std::int64_t count = 0;
  {
    const py::gil_scoped_release nogil;
    count = turbopixels(view, options, out, pool());
  }
  return py::make_tuple(labels, count);
}

}  // namespace

void bind(py::module_& m) {
  m.def("turbopixels", &run, py::arg("image"), py::arg("axes"), py::arg("n_segments"), py::arg("alpha"),
        py::arg("beta"), py::arg("nu"), py::arg("gamma"), py::arg("sigma"), py::arg("max_iter"),
        py::arg("enforce_connectivity"), py::arg("start_label"),
        "(labels int32 [H, W], number of labels). axes: of depth (-1), height, width, channels (-1 for none). sigma 0: "
        "the default.");
}

}  // namespace pyseg::turbopixels
