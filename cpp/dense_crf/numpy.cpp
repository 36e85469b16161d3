// The dense CRF on NumPy arrays: plans of an image's kernels, and the mean field over them.
#include "dense_crf/dense_crf.h"

#include <optional>

#include "core/numpy.h"

namespace pyseg::dense_crf {

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

// kernels: (spatial sigmas, their axes, colour sigmas, normalisation), or (features [N, d], normalisation).
std::shared_ptr<Plan> plan_of(const std::optional<py::array>& image, const std::array<int, 4>& axes,
                              std::int64_t points, const py::list& kernels) {
  ImageView view;
  if (image) view = numpy::image_view("dense_crf", *image, axes);
  std::vector<Features> features;
  std::vector<Normalization> normalization;
  std::vector<Floats> kept;
  for (const auto& item : kernels) {
    const auto parts = item.cast<py::tuple>();
    Features f;
    if (parts.size() == 2) {
      kept.push_back(parts[0].cast<Floats>());
      const Floats& given = kept.back();
      check(given.ndim() == 2 && given.shape(0) == points && given.shape(1) >= 1, "dense_crf: features must be [",
            points, ", d] as the unary term");
      f.given = given.data();
      f.dims = given.shape(1);
    } else {
      check(parts.size() == 4 && image.has_value(), "dense_crf: a kernel without features needs an image");
      f.spatial = parts[0].cast<std::vector<double>>();
      f.axes = parts[1].cast<std::vector<int>>();
      f.color = parts[2].cast<std::vector<double>>();
      for (const int axis : f.axes) check(axis >= 0 && axis < 3, "dense_crf: an axis must be 0 .. 2, got ", axis);
    }
    features.push_back(f);
    const int how = parts[parts.size() - 1].cast<int>();
    check(how >= 0 && how <= 3, "dense_crf: normalization must be 0 .. 3, got ", how);
    normalization.push_back(static_cast<Normalization>(how));
  }
  auto plan = std::make_shared<Plan>();
  const py::gil_scoped_release nogil;
  make_plan(features, view, points, normalization, pool(), *plan);
  return plan;
}

using Unary = py::array_t<float>;

ClassView<const float> view_of(const Unary& unary) {
  const auto size = static_cast<py::ssize_t>(sizeof(float));
  check(unary.ndim() == 2 && unary.shape(0) >= 1 && unary.shape(1) >= 1 && unary.strides(0) % size == 0 &&
            unary.strides(1) % size == 0,
        "dense_crf: the unary term must be [N, K], not empty, with strides of whole floats");
  return {unary.data(), unary.strides(0) / size, unary.strides(1) / size};
}

UnaryKind kind_of(int kind) {
  check(kind >= 0 && kind <= 2, "dense_crf: the kind of the unary term must be 0 .. 2, got ", kind);
  return static_cast<UnaryKind>(kind);
}

std::vector<float> ratios_of(const Unary& unary, int kind) {
  const ClassView<const float> view = view_of(unary);
  const auto points = unary.shape(0), classes = unary.shape(1);
  const py::gil_scoped_release nogil;
  return class_ratios(view, kind_of(kind), points, classes, pool());
}

// unary float32 [N, K] of any strides that are whole floats; compat: [], [K] or [K, K].
void infer(const Plan& plan, const Unary& unary, int kind, const std::vector<Floats>& compat, std::int64_t n_iter,
           bool half, Unary& out) {
  Problem problem;
  problem.unary = view_of(unary);
  check(unary.shape(0) == plan.points, "dense_crf: the unary term must have ", plan.points, " points, got ",
        unary.shape(0));
  const auto size = static_cast<py::ssize_t>(sizeof(float));
  check(out.ndim() == 2 && out.shape(0) == unary.shape(0) && out.shape(1) == unary.shape(1) &&
            out.strides(0) % size == 0 && out.strides(1) % size == 0,
        "dense_crf: the result must be [N, K] as the unary term, with strides of whole floats");
  problem.plan = &plan;
  problem.classes = unary.shape(1);
  problem.unary_kind = kind_of(kind);
  problem.n_iter = n_iter;
  problem.half = half;
  for (const Floats& c : compat) {
    bool fits = c.ndim() <= 2;
    for (py::ssize_t d = 0; d < c.ndim(); ++d) fits = fits && c.shape(d) == problem.classes;
    check(fits, "dense_crf: compat must be a number, [K] or [K, K] with K = ", problem.classes);
    problem.compat.push_back({static_cast<Compatibility>(c.ndim()), c.data()});
  }
  const ClassView<float> view{out.mutable_data(), out.strides(0) / size, out.strides(1) / size};
  const py::gil_scoped_release nogil;
  mean_field(problem, pool(), view);
}

}  // namespace

void bind(py::module_& m) {
  py::class_<Plan, std::shared_ptr<Plan>>(m, "CrfPlan")
      .def(py::init(&plan_of), py::arg("image").none(true), py::arg("axes"), py::arg("points"), py::arg("kernels"))
      .def("infer", &infer, py::arg("unary"), py::arg("kind"), py::arg("compat"), py::arg("n_iter"), py::arg("half"),
           py::arg("out"))
      .def("gains",
           [](const Plan& p) {
             const py::gil_scoped_release nogil;
             return gains(p, pool());
           })
      .def_property_readonly("points", [](const Plan& p) { return p.points; });
  m.def("crf_class_ratios", &ratios_of, py::arg("unary"), py::arg("kind"));
  m.def("crf_forget_positions", &forget_positions);
}

}  // namespace pyseg::dense_crf
