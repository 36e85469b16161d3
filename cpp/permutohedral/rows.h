// Rows of channels in registers: blocks of 16 floats and a tail of 4 or 8, in memory as float or as half.
// For translation units of their own instruction set: everything is internal.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/vectors.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace pyseg {
namespace {

using Float4 = float __attribute__((vector_size(16)));
using Float8 = float __attribute__((vector_size(32)));
constexpr int kVector = kVectorBytes / 4;  // floats in a register
using Half = std::uint16_t;

template <typename V>
inline V read(const float* p) {
  return load<V>(p);
}
template <typename V>
inline void write(float* p, const V& v) {
  store(p, v);
}

#if !defined(__F16C__)
// To the nearest, halves to even, as the hardware does.
inline Half narrow(float f) {
  std::uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const auto sign = static_cast<Half>(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return static_cast<Half>(sign | 0x7e00);
  if (bits >= 0x477ff000) return static_cast<Half>(sign | 0x7c00);
  if (bits < 0x38800000) {  // subnormal: adding 0.5 makes the last bit worth 2^-24
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, 4);
    return static_cast<Half>(sign | (bits - 0x3f000000));
  }
  bits += 0xfff + (bits >> 13 & 1);
  return static_cast<Half>(sign | (bits - 0x38000000) >> 13);
}
#endif

template <typename V>
inline V read(const Half* p) {
  V v;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    v = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return v;
  }
#endif
#if defined(__F16C__)
  if constexpr (sizeof(V) == 16) {
    v = _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  } else {
    for (std::size_t i = 0; i < sizeof(V) / 32; ++i) {
      const __m256 part = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p) + i));
      std::memcpy(reinterpret_cast<char*>(&v) + 32 * i, &part, 32);
    }
  }
#else
  for (std::size_t i = 0; i < sizeof(V) / 4; ++i) v[i] = widen_half(p[i]);
#endif
  return v;
}

template <typename V>
inline void write(Half* p, const V& v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    return;
  }
#endif
#if defined(__F16C__)
  if constexpr (sizeof(V) == 16) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  } else {
    for (std::size_t i = 0; i < sizeof(V) / 32; ++i) {
      __m256 part;
      std::memcpy(&part, reinterpret_cast<const char*>(&v) + 32 * i, 32);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p) + i, _mm256_cvtps_ph(part, _MM_FROUND_TO_NEAREST_INT));
    }
  }
#else
  for (std::size_t i = 0; i < sizeof(V) / 4; ++i) p[i] = narrow(v[i]);
#endif
}

template <int Blocks, int Tail>
struct Row {
  static constexpr int kSize = 16 * Blocks + Tail;
  static constexpr int kWide = 16 * Blocks / kVector;
  using End = std::conditional_t<Tail == 8 && (kVector > 4), Float8, Float4>;
  static constexpr int kEnd = static_cast<int>(sizeof(End)) / 4, kEnds = Tail / kEnd;
  Floats wide[kWide > 0 ? kWide : 1];
  End end[kEnds > 0 ? kEnds : 1];

  static Row zero() { return Row{}; }
  template <typename T>
  static Row from(const T* p) {
    Row r{};
    for (int i = 0; i < kWide; ++i) r.wide[i] = read<Floats>(p + kVector * i);
    for (int i = 0; i < kEnds; ++i) r.end[i] = read<End>(p + 16 * Blocks + kEnd * i);
    return r;
  }
  template <typename T>
  void to(T* p) const {
    for (int i = 0; i < kWide; ++i) write(p + kVector * i, wide[i]);
    for (int i = 0; i < kEnds; ++i) write(p + 16 * Blocks + kEnd * i, end[i]);
  }
  // f(x, of a) of every register.
  template <typename F>
  [[gnu::always_inline]] void each(const Row& a, F f) {
    for (int i = 0; i < kWide; ++i) f(wide[i], a.wide[i]);
    for (int i = 0; i < kEnds; ++i) f(end[i], a.end[i]);
  }
  [[gnu::always_inline]] void add(float w, const Row& a) {
    each(a, [w](auto& x, const auto& y) { x += w * y; });
  }
  [[gnu::always_inline]] void scale(float w) {
    each(*this, [w](auto& x, const auto&) { x *= w; });
  }
};

// f.template operator()<Blocks, Tail>(first channel) for panels of at most 48 channels that make up a row of `size`, a
// multiple of 4 that is not 12 more than one of 16.
template <typename F>
inline void panels(std::int64_t size, F f) {
  std::int64_t at = 0;
  for (; size - at > 48; at += 32) f.template operator()<2, 0>(at);
  switch (size - at) {
    case 4:
      return f.template operator()<0, 4>(at);
    case 8:
      return f.template operator()<0, 8>(at);
    case 16:
      return f.template operator()<1, 0>(at);
    case 20:
      return f.template operator()<1, 4>(at);
    case 24:
      return f.template operator()<1, 8>(at);
    case 32:
      return f.template operator()<2, 0>(at);
    case 36:
      return f.template operator()<2, 4>(at);
    case 40:
      return f.template operator()<2, 8>(at);
    default:
      return f.template operator()<3, 0>(at);
  }
}

}  // namespace

// The size of a row that holds `channels`, as `panels` takes it.
inline std::int64_t row_size(std::int64_t channels) {
  const std::int64_t size = (channels + 3) / 4 * 4;
  return size % 16 == 12 ? size + 4 : size;
}

}  // namespace pyseg
