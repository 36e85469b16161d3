// Vectors as large as a register of the instruction set that is compiled for, and half precision. For *.simd.cpp only:
// everything is internal to the translation unit, so that no copy built for a wider instruction set can reach the
// linker.
#pragma once

#include <cstdint>
#include <cstring>

namespace pyseg {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

using Floats = float __attribute__((vector_size(kVectorBytes)));
using Ints = std::int32_t __attribute__((vector_size(kVectorBytes)));
using Doubles = double __attribute__((vector_size(kVectorBytes)));

// A vector, or one value, from where it need not be aligned.
template <typename V, typename T>
inline V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename V, typename T>
inline void store(T* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

// IEEE half precision to float32, exactly.
[[maybe_unused]] inline float widen_half(std::uint16_t half) {
  const std::uint32_t bits = (half & 0x7FFFu) << 13;
  float v;
  std::memcpy(&v, &bits, 4);
  v *= 0x1p112f;  // rebias the exponent; subnormals come out right
  std::uint32_t whole;
  std::memcpy(&whole, &v, 4);
  whole |= (half & 0x7C00u) == 0x7C00u ? 0x7F800000u : 0u;
  whole |= (half & 0x8000u) << 16;
  std::memcpy(&v, &whole, 4);
  return v;
}

}  // namespace
}  // namespace pyseg
