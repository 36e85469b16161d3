// One allocation cut into arrays. With no base it only measures: the same code sizes a workspace and lays it out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/launch.cuh"

namespace pyseg::cuda {

class Arena {
 public:
  static constexpr std::int64_t kAlign = 256;

  Arena() = default;
  explicit Arena(void* base) : base_(static_cast<std::byte*>(base)) {}

  template <typename T>
  T* take(std::int64_t count) {
    const std::int64_t begin = used_, end = begin + count * static_cast<std::int64_t>(sizeof(T));
    used_ = (end + kAlign - 1) / kAlign * kAlign;
#if defined(CUDA_HOST)
    used_ += kAlign;  // arrays stand apart
    if (base_ != nullptr) gaps_.push_back({base_ + end, static_cast<std::size_t>(used_ - end)});
#endif
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + begin);
  }
  std::int64_t used() const { return used_; }

  // In host execution, what runs over an array is seen from now on.
  void guard() const {
#if defined(CUDA_HOST)
    for (const Gap& gap : gaps_) cuda_host::guard(gap.at, gap.bytes);
#endif
  }

 private:
#if defined(CUDA_HOST)
  struct Gap {
    std::byte* at;
    std::size_t bytes;
  };
  std::vector<Gap> gaps_;
#endif
  std::byte* base_ = nullptr;
  std::int64_t used_ = 0;
};

}  // namespace pyseg::cuda
