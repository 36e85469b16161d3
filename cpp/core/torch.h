// torch tensors to views, for the bindings of the ops: libtorch's stable ABI only.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <exception>
#include <mutex>

#include "core/check.h"
#include "core/parallel.h"
#include "core/view.h"

namespace pyseg::torch_binding {

using ::torch::headeronly::ScalarType;
using ::torch::stable::Tensor;

// torch's own threads: honours torch.set_num_threads.
class TorchExecutor final : public Executor {
 public:
  int threads() const override { return static_cast<int>(::torch::stable::get_num_threads()); }
  void run(std::int64_t count, std::int64_t grain, Range body) const override {
    if (count <= 0) return;
    // An exception thrown inside would lose its type and text on the way through torch.
    std::exception_ptr error;
    std::mutex mutex;
    ::torch::stable::parallel_for(0, count, grain, [&](std::int64_t begin, std::int64_t end) {
      try {
        body(begin, end);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
      }
    });
    if (error) std::rethrow_exception(error);
  }
};

inline DType dtype_of(const char* op, const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Byte:
      return DType::u8;
    case ScalarType::UInt16:
      return DType::u16;
    case ScalarType::Half:
      return DType::f16;
    case ScalarType::Float:
      return DType::f32;
    case ScalarType::Double:
      return DType::f64;
    default:
      throw TypeError(text(op, ": image must be uint8, uint16, float16, float32 or float64"));
  }
}

// Image i of a batch [B, C, H, W] or [B, C, D, H, W].
inline ImageView image_view(const char* op, const Tensor& batch, std::int64_t i) {
  ImageView view;
  view.dtype = dtype_of(op, batch);
  const std::int64_t size = size_of(view.dtype);
  const bool volume = batch.dim() == 5;
  view.data = static_cast<const std::byte*>(batch.const_data_ptr()) + i * batch.stride(0) * size;
  view.shape = {volume ? batch.size(2) : 1, batch.size(-2), batch.size(-1), batch.size(1)};
  view.stride = {volume ? batch.stride(2) * size : 0, batch.stride(-2) * size, batch.stride(-1) * size,
                 batch.stride(1) * size};
  return view;
}

}  // namespace pyseg::torch_binding
