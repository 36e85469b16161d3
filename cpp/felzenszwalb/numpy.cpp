// felzenszwalb on NumPy arrays.
#include "core/numpy.h"

#include "felzenszwalb/felzenszwalb.h"

namespace pyseg::felzenszwalb {

namespace py = pybind11;

namespace {

py::tuple run(const py::array& image, const std::array<int, 3>& axes, double scale, double sigma, std::int64_t min_size,
              std::int32_t start_label, const std::vector<double>& kernel) {
  const ImageView view = numpy::image_view("felzenszwalb", image, {-1, axes[0], axes[1], axes[2]});
  check(axes[0] >= 0 && axes[1] >= 0, "felzenszwalb: axes must be those of height and width, got ", axes[0], " and ",
        axes[1]);
  check_size(view);
  py::array_t<std::int32_t> labels({view.height(), view.width()});
  std::int32_t* out = labels.mutable_data();
  std::int64_t count = 0;
  {
    const py::gil_scoped_release nogil;
    count = felzenszwalb(view, {scale, sigma, min_size, start_label, kernel}, out, pool());
  }
  return py::make_tuple(labels, count);
}

}  // namespace

void bind(py::module_& m) {
  m.def(
      "felzenszwalb", &run, py::arg("image"), py::arg("axes"), py::arg("scale"), py::arg("sigma"), py::arg("min_size"),
      py::arg("start_label"), py::arg("kernel") = std::vector<double>(),
      "(labels int32, number of labels). axes: of height, width, channels; -1 where there are no channels. kernel: the "
      "Gaussian's taps from the middle outwards, instead of those made of sigma.");
}

}  // namespace pyseg::felzenszwalb
