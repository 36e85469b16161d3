// The module pyseg._native_cuda: the ops on device memory that somebody else owns (CuPy, or whoever speaks the CUDA
// array interface). Pointers and streams are integers; the Python layer takes them from the arrays and keeps those
// alive.
#include <pybind11/pybind11.h>

#include <cuda_runtime_api.h>

#include "core/device.h"

namespace py = pybind11;

// Each op adds its functions by bind(), declared here by its one line.
#define PYSEG_BIND(op)        \
  namespace pyseg::op::cuda { \
  void bind(py::module_& m);  \
  }
PYSEG_BIND(slic)
#undef PYSEG_BIND

PYBIND11_MODULE(_native_cuda, m, py::mod_gil_not_used()) {
  m.attr("__version__") = PYSEG_VERSION;
  m.def(
      "device_count",
      [] {
        int count = 0;
        return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
      },
      "Devices that the driver offers; 0 where there is no driver.");
  pyseg::slic::cuda::bind(m);
}
