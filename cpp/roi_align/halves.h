// Four values of any number at once, for *.simd.cpp: everything is internal to the translation unit.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/vectors.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace pyseg {
namespace {

struct Half {
  std::uint16_t bits;
};
struct Brain {
  std::uint16_t bits;
};

using Float4 = float __attribute__((vector_size(16)));
using Double4 = double __attribute__((vector_size(32)));
using Int4 = std::int32_t __attribute__((vector_size(16)));
using Long4 = std::int64_t __attribute__((vector_size(32)));
using Short4 = std::uint16_t __attribute__((vector_size(8)));
using Word4 = std::uint32_t __attribute__((vector_size(16)));

// Rounds to nearest, ties to even, as all of these do.
[[maybe_unused]] inline std::uint16_t narrow_half(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));  // NaN
  if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // rounds beyond the largest
  if (magnitude < 0x38800000u) {  // subnormal: a sum whose last bit is worth 2^-24
    float whole;
    std::memcpy(&whole, &magnitude, 4);
    whole += 0.5f;
    std::uint32_t sum;
    std::memcpy(&sum, &whole, 4);
    return static_cast<std::uint16_t>(sign | (sum - 0x3F000000u));
  }
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13));
}

inline std::uint16_t narrow_brain(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline Float4 load4(const float* p) { return load<Float4>(p); }
inline Double4 load4(const double* p) { return load<Double4>(p); }
inline Float4 load4(const Brain* p) {
  const Word4 bits = __builtin_convertvector(load<Short4>(p), Word4) << 16;
  Float4 v;
  std::memcpy(&v, &bits, 16);
  return v;
}
inline Float4 load4(const Half* p) {
#if defined(__F16C__)
  __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm_cvtph_ps(bits);
#else
  return Float4{widen_half(p[0].bits), widen_half(p[1].bits), widen_half(p[2].bits), widen_half(p[3].bits)};
#endif
}

inline void store4(float* p, const Float4& v) { store(p, v); }
inline void store4(double* p, const Double4& v) { store(p, v); }
inline void store4(Brain* p, const Float4& v) {
  for (int i = 0; i < 4; ++i) p[i].bits = narrow_brain(v[i]);
}
inline void store4(Half* p, const Float4& v) {
#if defined(__F16C__)
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < 4; ++i) p[i].bits = narrow_half(v[i]);
#endif
}

inline float widen1(float v) { return v; }
inline double widen1(double v) { return v; }
inline float widen1(Brain v) {
  const std::uint32_t bits = static_cast<std::uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
inline float widen1(Half v) { return widen_half(v.bits); }
inline void narrow1(float v, float& out) { out = v; }
inline void narrow1(double v, double& out) { out = v; }
inline void narrow1(float v, Brain& out) { out.bits = narrow_brain(v); }
inline void narrow1(float v, Half& out) { out.bits = narrow_half(v); }

// Rows to columns.
template <typename V, typename I>
inline void transpose4(V& a, V& b, V& c, V& d) {
  const V ab = __builtin_shuffle(a, b, I{0, 4, 1, 5}), ab2 = __builtin_shuffle(a, b, I{2, 6, 3, 7});
  const V cd = __builtin_shuffle(c, d, I{0, 4, 1, 5}), cd2 = __builtin_shuffle(c, d, I{2, 6, 3, 7});
  a = __builtin_shuffle(ab, cd, I{0, 1, 4, 5});
  b = __builtin_shuffle(ab, cd, I{2, 3, 6, 7});
  c = __builtin_shuffle(ab2, cd2, I{0, 1, 4, 5});
  d = __builtin_shuffle(ab2, cd2, I{2, 3, 6, 7});
}

}  // namespace
}  // namespace pyseg
