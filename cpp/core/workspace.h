// Reusable scratch memory: fresh buffers cost page faults (10 ms a call at 1080p in libraries that allocate anew).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pyseg {

// 64-byte aligned; large blocks in huge pages where the system has them: a pass over a stream of 4 KiB pages waits for
// their translation as long as for their data. Throws std::bad_alloc.
inline void* allocate_scratch(std::size_t bytes) {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  const std::size_t unit = bytes >= 2 * kHuge ? kHuge : 64;
  void* block = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (block == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (unit == kHuge) madvise(block, (bytes + unit - 1) / unit * unit, MADV_HUGEPAGE);  // refused: small pages will do
#endif
  return block;
}

// A buffer that only grows; contents are undefined after `take`.
template <typename T>
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::free(data_); }
  friend void swap(Scratch& a, Scratch& b) noexcept {
    std::swap(a.data_, b.data_);
    std::swap(a.capacity_, b.capacity_);
  }

  // At least `count` values, 64-byte aligned, with 64 readable bytes after them.
  T* take(std::int64_t count) {
    if (count > capacity_) {
      std::free(data_);
      data_ = nullptr;
      capacity_ = 0;
      data_ = static_cast<T*>(allocate_scratch(static_cast<std::size_t>(count) * sizeof(T) + 64));
      capacity_ = count;
    }
    return data_;
  }
  T* get() const { return data_; }
  std::int64_t bytes() const { return capacity_ * static_cast<std::int64_t>(sizeof(T)); }
  void release() {
    std::free(data_);
    data_ = nullptr;
    capacity_ = 0;
  }
  // Gives a large buffer back; a small one is kept for the next call.
  void trim(std::int64_t most_bytes = std::int64_t{64} << 20) {
    if (bytes() > most_bytes) release();
  }

 private:
  T* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

}  // namespace pyseg
