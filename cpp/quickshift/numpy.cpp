// quickshift on NumPy arrays.
#include "quickshift/quickshift.h"

#include <optional>

#include "core/numpy.h"

namespace pyseg::quickshift {

namespace py = pybind11;

namespace {

using Noise = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::tuple run(const py::array& image, const std::array<int, 3>& axes, double ratio, double kernel_size, double max_dist,
              double sigma, bool to_lab, std::int32_t start_label, const std::optional<Noise>& noise, bool tree,
              bool exact) {
  const ImageView view = numpy::image_view("quickshift", image, {-1, axes[0], axes[1], axes[2]});
  check_size(view);
  Options options{ratio, kernel_size, max_dist, sigma, to_lab, start_label, nullptr, exact};
  if (noise) {
    check(noise->ndim() == 2 && noise->shape(0) == view.height() && noise->shape(1) == view.width(),
          "quickshift: noise must have the image's height and width");
    options.noise = noise->data();
  }
  const std::vector<py::ssize_t> shape{view.height(), view.width()};
  const bool twice = exact && view.dtype == DType::f64;
  py::array_t<std::int32_t> labels(shape);
  py::array_t<std::int64_t> parents(tree ? shape : std::vector<py::ssize_t>{0, 0});
  py::array distances(twice ? py::dtype::of<double>() : py::dtype::of<float>(),
                      tree ? shape : std::vector<py::ssize_t>{0, 0});
  Result result{labels.mutable_data(), tree ? parents.mutable_data() : nullptr, distances.mutable_data()};
  std::int64_t count = 0;
  {
    const py::gil_scoped_release nogil;
    count = quickshift(view, options, result, pool());
  }
  return py::make_tuple(labels, count, parents, distances);
}

}  // namespace

void bind(py::module_& m) {
  m.def("quickshift", &run, py::arg("image"), py::arg("axes"), py::arg("ratio"), py::arg("kernel_size"),
        py::arg("max_dist"), py::arg("sigma"), py::arg("to_lab"), py::arg("start_label"), py::arg("noise").none(true),
        py::arg("tree"), py::arg("exact"),
        "(labels int32, number of labels, parents, distances: empty without `tree`). axes: of height, width, channels; "
        "-1 for no channels.");
}

}  // namespace pyseg::quickshift
