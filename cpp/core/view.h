// Strided views: what both bindings hand to a kernel. Strides are in bytes, may be zero or negative.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pyseg {

enum class DType { u8, u16, f16, f32, f64 };

inline std::int64_t size_of(DType t) {
  switch (t) {
    case DType::u8:
      return 1;
    case DType::u16:
    case DType::f16:
      return 2;
    case DType::f32:
      return 4;
    default:
      return 8;
  }
}

// An image or a volume with channels; a 2-D image has depth 1.
struct ImageView {
  const std::byte* data = nullptr;
  DType dtype = DType::u8;
  std::array<std::int64_t, 4> shape{};   // depth, height, width, channels
  std::array<std::int64_t, 4> stride{};  // bytes

  std::int64_t depth() const { return shape[0]; }
  std::int64_t height() const { return shape[1]; }
  std::int64_t width() const { return shape[2]; }
  std::int64_t channels() const { return shape[3]; }
  std::int64_t pixels() const { return shape[0] * shape[1] * shape[2]; }
  const std::byte* row(std::int64_t z, std::int64_t y) const { return data + z * stride[0] + y * stride[1]; }
};

// One byte a pixel, non-zero inside; null data: no mask.
struct MaskView {
  const std::byte* data = nullptr;
  std::array<std::int64_t, 3> stride{};  // bytes: z, y, x

  explicit operator bool() const { return data != nullptr; }
  bool at(std::int64_t z, std::int64_t y, std::int64_t x) const {
    return data[z * stride[0] + y * stride[1] + x * stride[2]] != std::byte{0};
  }
};

}  // namespace pyseg
