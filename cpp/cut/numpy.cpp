// The graph of superpixels on NumPy arrays, and the passes between pixels and superpixels.
#include <algorithm>
#include <cmath>
#include <memory>

#include "core/numpy.h"
#include "cut/cut.h"

namespace pyseg::cut {

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;
using Doubles = Array<double>;

void check_length(const char* name, const py::array& array, std::int64_t count) {
  check(array.ndim() == 1 && array.shape(0) == count, "cut: ", name, " must be [", count, "]");
}

// Finite and no less than `least`.
void check_values(const char* name, const Doubles& array, double least) {
  const double* v = array.data();
  for (py::ssize_t i = 0; i < array.size(); ++i)
    check(std::isfinite(v[i]) && v[i] >= least, "cut: ", name, " must be finite and >= ", least, ", got ", v[i]);
}

void check_marks(const char* name, const Array<std::int8_t>& array) {
  const std::int8_t* v = array.data();
  std::int8_t low = 0, high = 0;
  for (py::ssize_t i = 0; i < array.size(); ++i) low = std::min(low, v[i]), high = std::max(high, v[i]);
  check(low >= -1 && high <= 1, "cut: ", name, " must be -1, 0 or 1");
}

void check_labels(const Array<std::int32_t>& labels, std::int64_t count) {
  const std::int32_t* v = labels.data();
  std::int32_t low = 0, high = 0;
  for (py::ssize_t i = 0; i < labels.size(); ++i) low = std::min(low, v[i]), high = std::max(high, v[i]);
  check(low >= 0 && high < count, "cut: labels must be within 0 .. ", count - 1, ", got ", low, " .. ", high);
}

std::shared_ptr<Graph> graph_of(const Doubles& mean_lab, const Array<std::int64_t>& area,
                                const Array<std::int32_t>& edges, const Array<std::int64_t>& boundary, double sigma,
                                double leak) {
  const std::int64_t count = area.size(), pairs = boundary.size();
  check(count >= 1 && count < (std::int64_t{1} << 31), "cut: there must be 1 .. 2^31 - 1 superpixels, got ", count);
  check(area.ndim() == 1 && mean_lab.ndim() == 2 && mean_lab.shape(0) == count && mean_lab.shape(1) == 3,
        "cut: mean_lab must be [", count, ", 3]");
  check(boundary.ndim() == 1 && edges.size() == 2 * pairs, "cut: edges must be [", pairs, ", 2]");
  check_values("mean_lab", mean_lab, -1000);
  auto graph = std::make_shared<Graph>();
  make_graph(mean_lab.data(), area.data(), count, edges.data(), boundary.data(), pairs, sigma, leak, *graph);
  return graph;
}

Doubles diffuse_over(const Graph& graph, const Doubles& pull, const Doubles& target, const Array<std::int8_t>& seed) {
  check_length("pull", pull, graph.count);
  check_length("target", target, graph.count);
  check_length("seed", seed, graph.count);
  check_values("pull", pull, 0);
  check_values("target", target, 0);
  check_marks("seed", seed);
  Doubles out(graph.count);
  double* to = out.mutable_data();
  const py::gil_scoped_release nogil;
  diffuse(graph, pull.data(), target.data(), seed.data(), to);
  return out;
}

Doubles ratio_over(const Graph& graph, const Doubles& inside, const Doubles& outside, double least) {
  check_length("inside", inside, graph.count);
  check_length("outside", outside, graph.count);
  check_values("inside", inside, 0);
  check_values("outside", outside, 0);
  check(least > 0 && std::isfinite(least), "cut: least must be > 0 and finite, got ", least);
  Doubles out(graph.count);
  double* to = out.mutable_data();
  const py::gil_scoped_release nogil;
  color_ratio(graph, inside.data(), outside.data(), least, pool(), to);
  return out;
}

Array<std::int64_t> strokes_of(const Array<std::int32_t>& labels, const Array<std::int8_t>& strokes,
                               std::int64_t count) {
  check(labels.size() == strokes.size(), "cut: strokes must have the labels' shape");
  check(count >= 0, "cut: count must be >= 0, got ", count);
  check_labels(labels, count);
  Array<std::int64_t> out({static_cast<py::ssize_t>(count), py::ssize_t{2}});
  std::int64_t* to = out.mutable_data();
  const py::gil_scoped_release nogil;
  count_strokes(labels.data(), strokes.data(), labels.size(), count, to);
  return out;
}

// labels are those of strokes_of, which has checked them; `logit` must be as long as it says.
Array<float> unary_of(const Array<std::int32_t>& labels, const Array<float>& logit, const Array<std::int8_t>& strokes) {
  check(labels.size() == strokes.size() && logit.ndim() == 1, "cut: strokes must have the labels' shape");
  check_labels(labels, logit.size());
  Array<float> out({labels.size(), py::ssize_t{2}});
  float* to = out.mutable_data();
  const py::gil_scoped_release nogil;
  unary(labels.data(), logit.data(), strokes.data(), labels.size(), pool(), to);
  return out;
}

py::tuple finish_of(const Array<float>& q, const Array<std::int8_t>& strokes) {
  check(q.size() == 2 * strokes.size() && strokes.ndim() == 2, "cut: q must be [pixels, 2], strokes [H, W]");
  Array<float> probability({strokes.shape(0), strokes.shape(1)});
  py::array_t<bool> mask({strokes.shape(0), strokes.shape(1)});
  float* p = probability.mutable_data();
  bool* m = mask.mutable_data();
  {
    const py::gil_scoped_release nogil;
    finish(q.data(), strokes.data(), strokes.size(), pool(), p, m);
  }
  return py::make_tuple(probability, mask);
}

}  // namespace

void bind(py::module_& m) {
  py::class_<Graph, std::shared_ptr<Graph>>(m, "CutGraph")
      .def(py::init(&graph_of), py::arg("mean_lab"), py::arg("area"), py::arg("edges"), py::arg("boundary"),
           py::arg("sigma"), py::arg("leak"))
      .def("diffuse", &diffuse_over, py::arg("pull"), py::arg("target"), py::arg("seed"))
      .def("color_ratio", &ratio_over, py::arg("inside"), py::arg("outside"), py::arg("least"))
      .def_readonly("count", &Graph::count);
  m.def("cut_strokes", &strokes_of, py::arg("labels"), py::arg("strokes"), py::arg("count"));
  m.def("cut_unary", &unary_of, py::arg("labels"), py::arg("logit"), py::arg("strokes"));
  m.def("cut_finish", &finish_of, py::arg("q"), py::arg("strokes"));
}

}  // namespace pyseg::cut
