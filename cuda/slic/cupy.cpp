// slic on device memory.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>

#include "core/check.h"
#include "core/device.h"
#include "slic/slic.cuh"

namespace pyseg::slic::cuda {

namespace py = pybind11;

namespace {

using Four = std::array<std::int64_t, 4>;

template <typename T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

Plan plan_of(const Four& shape, std::int64_t n_segments, double compactness, std::int64_t max_iter, double tol,
             const std::array<double, 3>& sigma, bool to_lab, bool enforce_connectivity, double min_size_factor,
             std::int32_t start_label, std::uintptr_t centers, std::int64_t n_centers, std::int64_t center_width) {
  Options options;
  options.n_segments = n_segments;
  options.compactness = compactness;
  options.max_iter = max_iter;
  options.tol = tol;
  options.sigma = sigma;
  options.to_lab = to_lab;
  options.enforce_connectivity = enforce_connectivity;
  options.min_size_factor = min_size_factor;
  options.start_label = start_label;
  options.centers = pointer<const double>(centers);
  options.n_centers = n_centers;
  options.center_width = center_width;
  return make_plan({shape[0], shape[1], shape[2], shape[3]}, options);
}

std::int64_t workspace(const Four& shape, std::int64_t n_segments, double compactness, std::int64_t max_iter,
                       double tol, const std::array<double, 3>& sigma, bool to_lab, bool enforce_connectivity,
                       double min_size_factor, std::int32_t start_label, std::int64_t n_centers,
                       std::int64_t center_width) {
  return workspace_bytes(plan_of(shape, n_segments, compactness, max_iter, tol, sigma, to_lab, enforce_connectivity,
                                 min_size_factor, start_label, 0, n_centers, center_width));
}

void run(std::uintptr_t image, const Four& shape, const Four& strides, std::int64_t n_segments, double compactness,
         std::int64_t max_iter, double tol, const std::array<double, 3>& sigma, bool to_lab, bool enforce_connectivity,
         double min_size_factor, std::int32_t start_label, std::uintptr_t centers, std::int64_t n_centers,
         std::int64_t center_width, std::uintptr_t labels, std::uintptr_t count, std::uintptr_t space,
         std::int64_t space_bytes, std::uintptr_t stream, int device) {
  const Plan plan = plan_of(shape, n_segments, compactness, max_iter, tol, sigma, to_lab, enforce_connectivity,
                            min_size_factor, start_label, centers, n_centers, center_width);
  const std::int64_t needed = workspace_bytes(plan);
  check(space_bytes >= needed && space % 256 == 0, "slic: workspace must have ", needed,
        " bytes, aligned to 256, as slic_workspace() says, got ", space_bytes);
  check(n_centers == 0 || centers != 0, "slic: centers must be the address of n_centers rows, got 0");
  const py::gil_scoped_release nogil;
  const pyseg::cuda::DeviceScope here("slic", device);
  pyseg::cuda::check_cuda(
      "slic", slic(plan, pointer<const std::uint8_t>(image), {strides[0], strides[1], strides[2], strides[3]},
                   pointer<std::int32_t>(labels), pointer<std::int64_t>(count), pointer<void>(space),
                   pointer<CUstream_st>(stream)));
}

}  // namespace

void bind(py::module_& m) {
  m.def("slic_workspace", &workspace, py::arg("shape"), py::kw_only(), py::arg("n_segments"), py::arg("compactness"),
        py::arg("max_iter"), py::arg("tol"), py::arg("sigma"), py::arg("to_lab"), py::arg("enforce_connectivity"),
        py::arg("min_size_factor"), py::arg("start_label"), py::arg("n_centers") = 0, py::arg("center_width") = 0,
        "Bytes of workspace that slic() needs for images of shape (B, H, W, C). ValueError for what CUDA does not "
        "cover.");
  m.def("slic", &run, py::arg("image"), py::arg("shape"), py::arg("strides"), py::kw_only(), py::arg("n_segments"),
        py::arg("compactness"), py::arg("max_iter"), py::arg("tol"), py::arg("sigma"), py::arg("to_lab"),
        py::arg("enforce_connectivity"), py::arg("min_size_factor"), py::arg("start_label"), py::arg("centers") = 0,
        py::arg("n_centers") = 0, py::arg("center_width") = 0, py::arg("labels"), py::arg("count"),
        py::arg("workspace"), py::arg("workspace_bytes"), py::arg("stream"), py::arg("device"),
        "Labels (int32 [B, H, W]) and their numbers (int64 [B]) of uint8 images; addresses, with shape and strides "
        "(bytes) "
        "of (B, H, W, C). centers: float64 [B, n_centers, center_width] z, y, x[, channels]; 0: seeds on the grid. "
        "Enqueued on `stream`: keep all memory until it has run.");
}

}  // namespace pyseg::slic::cuda
