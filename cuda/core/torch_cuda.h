// CUDA tensors, for the bindings of the ops: libtorch's stable ABI only.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "core/device.h"
#include "core/torch.h"

namespace pyseg::torch_binding {

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

// For the length of a call: the tensor's device is current for torch's CUDA runtime and for ours.
class OnDevice {
 public:
  OnDevice(const char* what, const Tensor& tensor)
      : torch_(tensor.get_device_index()), ours_(what, tensor.get_device_index()) {}

 private:
  ::torch::stable::accelerator::DeviceGuard torch_;
  cuda::DeviceScope ours_;
};

}  // namespace pyseg::torch_binding
