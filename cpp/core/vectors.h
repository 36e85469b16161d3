// Vectors as large as a register of the instruction set that is compiled for, and half precision. For *.simd.cpp only:
// everything is internal to the translation unit, so that no copy built for a wider instruction set can reach the
// linker.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

// `value` in every lane. (`Floats{} + value` would be an addition: it turns -0 into 0.)
[[maybe_unused]] inline Floats splat(float value) { return value - Floats{}; }

// a * b + c, rounded once where the instruction set can: AVX2 and AVX-512 agree, baseline x86 rounds twice.
[[maybe_unused]] inline Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(
      _mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
  return reinterpret_cast<Floats>(
      _mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
  return a * b + c;
#endif
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
