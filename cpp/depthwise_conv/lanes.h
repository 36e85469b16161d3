// Vectors of float32 and float64, and how the four kinds of numbers get in and out of them. For *.simd.cpp only:
// everything is internal to the translation unit.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/vectors.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::depthwise_conv {
namespace {

struct Half {
  std::uint16_t bits;
};
struct Brain {
  std::uint16_t bits;
};

template <typename A>
using Vector = std::conditional_t<std::is_same_v<A, double>, Doubles, Floats>;
template <typename A>
constexpr std::int64_t kLanes = kVectorBytes / static_cast<std::int64_t>(sizeof(A));
template <typename S>
using Sum = std::conditional_t<std::is_same_v<S, double>, double, float>;  // what numbers of a kind are summed in

template <typename A>
inline Vector<A> splat(A v) {
  return Vector<A>{} + v;
}

// a * b + c
inline Floats fma(Floats a, Floats b, Floats c) {
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
inline Doubles fma(Doubles a, Doubles b, Doubles c) {
#if defined(__AVX512F__)
  return reinterpret_cast<Doubles>(
      _mm512_fmadd_pd(reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), reinterpret_cast<__m512d>(c)));
#elif defined(__FMA__)
  return reinterpret_cast<Doubles>(
      _mm256_fmadd_pd(reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), reinterpret_cast<__m256d>(c)));
#else
  return a * b + c;
#endif
}

// NaN stays.
template <typename V>
inline V rectified(V v) {
  return v < V{} ? V{} : v;
}

inline float widen(float v) { return v; }
inline double widen(double v) { return v; }
inline float widen(Half v) { return widen_half(v.bits); }
inline float widen(Brain v) {
  const std::uint32_t bits = static_cast<std::uint32_t>(v.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline void narrow(float v, float* to) { *to = v; }
inline void narrow(double v, double* to) { *to = v; }
// To nearest, ties to even.
inline void narrow(float v, Half* to) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, 4);
  const std::uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7FFFFFFFu;
  std::uint32_t half;
  if (size > 0x7F800000u) half = 0x7E00u;
  else if (size >= 0x477FF000u) half = 0x7C00u;  // 65520 and above
  else if (size >= 0x38800000u) half = (size - 0x38000000u + 0xFFFu + (size >> 13 & 1u)) >> 13;
  else {
    float subnormal;  // adding 1/2 shifts the bits of the result to the low end, and rounds
    std::memcpy(&subnormal, &size, 4);
    subnormal += 0.5f;
    std::memcpy(&half, &subnormal, 4);
    half -= 0x3F000000u;
  }
  to->bits = static_cast<std::uint16_t>(sign | half);
}
inline void narrow(float v, Brain* to) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, 4);
  to->bits = static_cast<std::uint16_t>(v != v ? 0x7FC0u : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline Floats get(const float* p) { return load<Floats>(p); }
inline Doubles get(const double* p) { return load<Doubles>(p); }
inline Floats get(const Half* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__F16C__)
  return reinterpret_cast<Floats>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  Floats v;
  for (int i = 0; i < kLanes<float>; ++i) v[i] = widen(p[i]);
  return v;
#endif
}
using Shorts = std::uint16_t __attribute__((vector_size(kVectorBytes / 2)));
using Words = std::uint32_t __attribute__((vector_size(kVectorBytes)));
inline Floats get(const Brain* p) {
  return reinterpret_cast<Floats>(__builtin_convertvector(load<Shorts>(p), Words) << 16);
}

inline void put(Floats v, float* p) { store(p, v); }
inline void put(Doubles v, double* p) { store(p, v); }
inline void put(Floats v, Half* p) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(reinterpret_cast<__m512>(v), 0));
#elif defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(reinterpret_cast<__m256>(v), 0));
#else
  for (int i = 0; i < kLanes<float>; ++i) narrow(v[i], p + i);
#endif
}
inline void put(Floats v, Brain* p) {
  const Words bits = reinterpret_cast<Words>(v);
  const Words rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  store(p, __builtin_convertvector(v != v ? Words{} + 0x7FC0u : rounded, Shorts));
}

// The first n lanes.
template <typename A>
inline void put_part(Vector<A> v, A* p, std::int64_t n) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, float>)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
  else _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), reinterpret_cast<__m512d>(v));
#else
  for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// The first n numbers, zeros behind them.
template <typename A>
inline Vector<A> get_part(const A* p, std::int64_t n) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, float>)
    return reinterpret_cast<Floats>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p));
  else return reinterpret_cast<Doubles>(_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p));
#else
  A values[kLanes<A>] = {};
  for (std::int64_t i = 0; i < n; ++i) values[i] = p[i];
  return load<Vector<A> >(values);
#endif
}

template <typename A>
inline A total(Vector<A> v) {
  A half[kLanes<A>];
  store(half, v);
  for (std::int64_t n = kLanes<A> / 2; n > 0; n /= 2)
    for (std::int64_t i = 0; i < n; ++i) half[i] += half[i + n];
  return half[0];
}

}  // namespace
}  // namespace pyseg::depthwise_conv
