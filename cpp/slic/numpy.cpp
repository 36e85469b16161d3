// slic on NumPy arrays.
#include "slic/slic.h"

#include <optional>

#include "core/numpy.h"

namespace pyseg::slic {

namespace py = pybind11;

namespace {

using Centers = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::tuple run(const py::array& image, const std::array<int, 4>& axes, std::int64_t n_segments, double compactness,
              std::int64_t max_iter, double tol, const std::array<double, 3>& sigma, bool to_lab, bool slic_zero,
              bool enforce_connectivity, double min_size_factor, std::int32_t start_label,
              const std::optional<py::array_t<bool>>& mask, const std::array<double, 3>& spacing,
              const std::optional<Centers>& centers) {
  const ImageView view = numpy::image_view("slic", image, axes);
  check_size(view);
  Options options{n_segments, compactness,          max_iter,        tol,        sigma, spacing, to_lab,
                  slic_zero,  enforce_connectivity, min_size_factor, start_label};
  std::vector<py::ssize_t> shape;
  for (std::size_t d = 0; d < 3; ++d)
    if (axes[d] >= 0) shape.push_back(view.shape[d]);
  MaskView inside;
  if (mask) {
    const auto rank = static_cast<py::ssize_t>(shape.size());
    bool same = mask->ndim() == rank;
    for (py::ssize_t d = 0; same && d < rank; ++d) same = mask->shape(d) == shape[static_cast<std::size_t>(d)];
    check(same, "slic: mask must have the image's shape without channels");
    inside.data = static_cast<const std::byte*>(static_cast<const void*>(mask->data()));
    for (py::ssize_t d = 0; d < rank; ++d) inside.stride[static_cast<std::size_t>(3 - rank + d)] = mask->strides(d);
  }
  if (centers) {
    check(centers->ndim() == 2 && (centers->shape(1) == 3 || centers->shape(1) == 3 + view.channels()),
          "slic: initial_centers must be [K, 3] or [K, 3 + channels]");
    options.centers = centers->data();
    options.n_centers = centers->shape(0);
    options.center_width = centers->shape(1);
  }
  py::array_t<std::int32_t> labels(shape);
  std::int32_t* out = labels.mutable_data();
  std::int64_t count = 0;
  {
    const py::gil_scoped_release nogil;
    count = slic(view, inside, options, out, pool());
  }
  return py::make_tuple(labels, count);
}

}  // namespace

void bind(py::module_& m) {
  m.def("slic", &run, py::arg("image"), py::arg("axes"), py::arg("n_segments"), py::arg("compactness"),
        py::arg("max_iter"), py::arg("tol"), py::arg("sigma"), py::arg("to_lab"), py::arg("slic_zero"),
        py::arg("enforce_connectivity"), py::arg("min_size_factor"), py::arg("start_label"), py::arg("mask").none(true),
        py::arg("spacing"), py::arg("initial_centers").none(true),
        "(labels int32, number of labels). axes: of depth, height, width, channels; -1 where there is none.");
}

}  // namespace pyseg::slic
