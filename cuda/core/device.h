// The device of a call. For the bindings: our CUDA runtime is linked statically and keeps its own idea of the current
// device.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace pyseg::cuda {

// Throws std::runtime_error in CUDA's words.
inline void check_cuda(const char* what, cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": CUDA: " + cudaGetErrorString(error));
}

// Makes `device` current, and the one before it again at the end.
class DeviceScope {
 public:
  DeviceScope(const char* what, int device) {
    check_cuda(what, cudaGetDevice(&before_));
    if (device != before_) check_cuda(what, cudaSetDevice(device));
    changed_ = device != before_;
  }
  ~DeviceScope() {
    if (changed_) cudaSetDevice(before_);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

}  // namespace pyseg::cuda
