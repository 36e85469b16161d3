// PermutohedralLattice on NumPy arrays.
#include <memory>

#include "core/numpy.h"
#include "permutohedral/permutohedral.h"

namespace pyseg::permutohedral {

namespace py = pybind11;

namespace {

template <typename T>
using Matrix = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
class Plan {
 public:
  explicit Plan(const Matrix<T>& features) : features_(features) {
    check(features.ndim() == 2, "PermutohedralLattice: features must be [N, d], got ", features.ndim(), " dimensions");
    const T* data = features.data();
    const auto points = features.shape(0);
    const auto dims = features.shape(1);
    check(dims >= 1 && dims <= kMostDims, "PermutohedralLattice: features must have 1 .. ", kMostDims,
          " dimensions, got ", dims);
    const py::gil_scoped_release nogil;
    build<T>("PermutohedralLattice", points, static_cast<int>(dims), reader(data, points, dims), nullptr, pool(),
             lattice_);
  }

  Matrix<T> run(const Matrix<T>& values, int normalization, bool transpose) const {
    expect("values", values);
    Matrix<T> out({values.shape(0), values.shape(1)});
    T* to = out.mutable_data();
    const T* from = values.data();
    const auto channels = values.shape(1);
    const py::gil_scoped_release nogil;
    filter(lattice_, from, channels, channels, static_cast<Normalization>(normalization), transpose, pool(), to,
           channels);
    return out;
  }

  Matrix<T> gradient(const Matrix<T>& cotangent, const Matrix<T>& values) const {
    expect("values", values);
    expect("cotangent", cotangent);
    check(values.shape(1) == cotangent.shape(1),
          "PermutohedralLattice: cotangent must have as many channels as values");
    Matrix<T> out({features_.shape(0), features_.shape(1)});
    T* to = out.mutable_data();
    const T *a = cotangent.data(), *b = values.data(), *f = features_.data();
    const auto points = features_.shape(0), dims = features_.shape(1), channels = values.shape(1);
    const py::gil_scoped_release nogil;
    feature_gradient<T>(lattice_, reader(f, points, dims), a, b, channels, pool(), to);
    return out;
  }

  std::int64_t points() const { return lattice_.points; }
  std::int64_t vertices() const { return lattice_.vertices; }
  int dims() const { return lattice_.dims; }

 private:
  static auto reader(const T* data, std::int64_t points, std::int64_t dims) {
    return [=](std::int64_t block, T* out) {
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const T* point = data + std::min(block * kLanes + i, points - 1) * dims;
        for (std::int64_t j = 0; j < dims; ++j) out[j * kLanes + i] = point[j];
      }
    };
  }
  void expect(const char* name, const Matrix<T>& m) const {
    check(m.ndim() == 2 && m.shape(0) == lattice_.points, "PermutohedralLattice: ", name, " must be [", lattice_.points,
          ", C] as the features");
  }

  Matrix<T> features_;
  Lattice<T> lattice_;
};

template <typename T>
void bind_plan(py::module_& m, const char* name) {
  py::class_<Plan<T>>(m, name)
      .def(py::init<const Matrix<T>&>(), py::arg("features"))
      .def("filter", &Plan<T>::run, py::arg("values"), py::arg("normalization"), py::arg("transpose"))
      .def("feature_gradient", &Plan<T>::gradient, py::arg("cotangent"), py::arg("values"))
      .def_property_readonly("points", &Plan<T>::points)
      .def_property_readonly("dims", &Plan<T>::dims)
      .def_property_readonly("vertices", &Plan<T>::vertices);
}

}  // namespace

void bind(py::module_& m) {
  bind_plan<float>(m, "Lattice32");
  bind_plan<double>(m, "Lattice64");
}

}  // namespace pyseg::permutohedral
