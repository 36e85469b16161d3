// Blocks of 64 bytes of a row in registers, read from any of the types. For *.simd.cpp only: everything is internal.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/vectors.h"
#include "deform_attention/kernels.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace pyseg::deform_attention {
namespace {

struct Half {
  std::uint16_t bits;
};
struct Brain {  // bfloat16
  std::uint16_t bits;
};

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = Floats;
};
template <>
struct VectorOf<double> {
  using type = Doubles;
};
template <typename T>
using Vector = typename VectorOf<T>::type;

// Whole numbers as wide as T, and as many in a vector.
template <typename T>
using Index = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
template <typename T>
using Whole = decltype(Vector<T>{} < Vector<T>{});

constexpr int kVectors = kRowBytes / kVectorBytes;  // in a block
template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

// ---- single values

template <typename T>
inline T widen(T x) {
  return x;
}
inline float widen(Half x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  return widen_half(x.bits);
#endif
}
inline float widen(Brain x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

template <typename T>
inline void narrow(T x, T& out) {
  out = x;
}
// To the nearest, halves to even; not-a-number stays that.
inline void narrow(float x, Brain& out) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  out.bits = static_cast<std::uint16_t>(x == x ? rounded : (bits >> 16 | 0x40));
}
inline void narrow(float x, Half& out) {
#if defined(__F16C__)
  out.bits = static_cast<std::uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
#else
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const std::uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) {
    bits = 0x7e00;
  } else if (bits >= 0x477ff000) {
    bits = 0x7c00;
  } else if (bits < 0x38800000) {  // subnormal: adding 0.5 makes the last bit worth 2^-24
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, 4);
    bits -= 0x3f000000;
  } else {
    bits = (bits + 0xfff + (bits >> 13 & 1) - 0x38000000) >> 13;
  }
  out.bits = static_cast<std::uint16_t>(sign | bits);
#endif
}

// ---- vectors

template <typename T, typename From>
inline Vector<T> read(const From* p) {
  if constexpr (sizeof(From) >= 4) {
    return load<Vector<T>>(p);
  } else if constexpr (std::is_same_v<From, Brain>) {
    using Words = std::uint16_t __attribute__((vector_size(kVectorBytes / 2)));
    using Bits = std::uint32_t __attribute__((vector_size(kVectorBytes)));
    const Bits bits = __builtin_convertvector(load<Words>(p), Bits) << 16;
    Vector<T> v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  } else {
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    Vector<T> v;
    for (int i = 0; i < kLanes<T>; ++i) v[i] = widen(p[i]);
    return v;
#endif
  }
}

// f(From{}) for the type of that name. The computation's type T is double for f64 alone.
template <typename F>
inline void with_type(Float type, F f) {
  switch (type) {
    case Float::f32:
      return f(float{});
    case Float::f64:
      return f(double{});
    case Float::bf16:
      return f(Brain{});
    default:
      return f(Half{});
  }
}

template <typename T, typename From>
constexpr bool kFits = (sizeof(From) == 8) == (sizeof(T) == 8);

// `count` values from element `at` of an array.
template <typename T>
inline void read_all(const Array& in, std::int64_t at, std::int64_t count, T* __restrict out) {
  with_type(in.type, [&](auto type) {
    const auto* from = static_cast<const decltype(type)*>(in.data) + at;
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(widen(from[i]));
  });
}

}  // namespace
}  // namespace pyseg::deform_attention
