// Vectors of any of the four kinds of value, in any width up to a register's: a row that is shorter than the widest
// takes a narrower one, and the last of a row overlaps the one before, so that no masks are needed. For *.simd.cpp
// only.
#pragma once

#include <cstdint>
#include <utility>

#include "core/vectors.h"
#include "max_unpool/bytes.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::max_unpool {
namespace {

template <typename T, int Bytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Bytes)));
};

// The kinds of value: how they are stored, the integers as wide, and what is greater.
struct F32 {
  using T = float;
  using I = std::int32_t;
  static bool better(float v, float m) { return v > m || v != v; }
};
struct F64 {
  using T = double;
  using I = long;  // what comparisons of doubles give; as std::int64_t
  static bool better(double v, double m) { return v > m || v != v; }
};
// Half precision is compared as integers: the sign turns the magnitude, and any NaN is the largest.
template <int kInfinity>
struct Half {
  using T = std::uint16_t;
  using I = std::int16_t;
  static int key(std::uint16_t v) {
    const int magnitude = v & 0x7FFF;
    return magnitude > kInfinity ? 0x7FFF : (v & 0x8000) != 0 ? -magnitude : magnitude;
  }
  static bool better(std::uint16_t v, std::uint16_t m) { return key(v) > key(m) || key(v) == 0x7FFF; }
};
using F16 = Half<0x7C00>;
using BF16 = Half<0x7F80>;

template <typename E, int Bytes>
struct Lanes {
  using T = typename E::T;
  using I = typename E::I;
  static constexpr int kBytes = Bytes, kCount = Bytes / static_cast<int>(sizeof(T));
  using V = typename VectorOf<T, Bytes>::type;
  using M = typename VectorOf<I, Bytes>::type;

  static V read(const T* p) { return load<V>(p); }
  static M codes(const std::uint8_t* p) { return widen_codes<sizeof(T), M>(p); }
  static void write_codes(std::uint8_t* p, M code) { narrow_codes<sizeof(T)>(p, code); }
  static M all(int x) { return M{} + static_cast<I>(x); }
  static V splat(T x) {
    I bits;  // an addition of integers is folded away
    std::memcpy(&bits, &x, sizeof bits);
    return reinterpret_cast<V>(M{} + bits);
  }

  template <std::size_t... i>
  static V evens(V a, V b, std::index_sequence<i...>) {
    return __builtin_shuffle(a, b, M{static_cast<I>(2 * i)...});
  }
  template <std::size_t... i>
  static V odds(V a, V b, std::index_sequence<i...>) {
    return __builtin_shuffle(a, b, M{static_cast<I>(2 * i + 1)...});
  }
  // Columns 0, 2, 4, ...: reads no further than the last of them.
  template <std::size_t... i>
  static V every_second(const T* p, std::index_sequence<i...>) {
    constexpr int n = kCount;
    return __builtin_shuffle(read(p), read(p + n - 1), M{static_cast<I>(2 * i < n ? 2 * i : 2 * i + 1)...});
  }
  template <std::size_t... i>
  static V low_pairs(V a, V b, std::index_sequence<i...>) {
    return __builtin_shuffle(a, b, M{static_cast<I>(i / 2 + (i % 2) * kCount)...});
  }
  template <std::size_t... i>
  static V high_pairs(V a, V b, std::index_sequence<i...>) {
    return __builtin_shuffle(a, b, M{static_cast<I>(kCount / 2 + i / 2 + (i % 2) * kCount)...});
  }
  template <std::size_t... i>
  static M iota(std::index_sequence<i...>) {
    return M{static_cast<I>(i)...};
  }
  template <std::size_t... i>
  static M rotated(M v, int by, std::index_sequence<i...>) {
    return __builtin_shuffle(v, (M{static_cast<I>(i)...} + static_cast<I>(by)) & all(kCount - 1));
  }
  using All = std::make_index_sequence<kCount>;
  static M iota() { return iota(All{}); }
  static M rotated(M v, int by) { return rotated(v, by, All{}); }
  static V evens(V a, V b) { return evens(a, b, All{}); }
  static V odds(V a, V b) { return odds(a, b, All{}); }
  static V low_pairs(V a, V b) { return low_pairs(a, b, All{}); }
  static V high_pairs(V a, V b) { return high_pairs(a, b, All{}); }

  static V strided(const T* p, std::int64_t stride) {
    if (stride == 1) return read(p);
    if (stride == 2) return every_second(p, All{});
    T values[kCount];
    for (int i = 0; i < kCount; ++i) values[i] = p[i * stride];
    return read(values);
  }

  // The maximum so far, and where; or a value to be found, and where.
  struct Best {
    V value;
    M code;
  };
  static M better(V v, V m) {
    if constexpr (sizeof(T) == 2) {
      const M k = key(v);
      return (k > key(m)) | (k == all(0x7FFF));
    } else {
      return (v > m) | (v != v);
    }
  }
  static M key(V v) {
    if constexpr (sizeof(T) == 2) {
      const M bits = reinterpret_cast<M>(v);
      const M magnitude = bits & all(0x7FFF);
      const M turned = bits < 0 ? -magnitude : magnitude;
      return magnitude > all(kInfinity) ? all(0x7FFF) : turned;
    } else {
      return M{};
    }
  }
  static constexpr int kInfinity = std::is_same_v<E, F16> ? 0x7C00 : 0x7F80;
  static void offer(Best& best, V v, int tap) {
    const M wins = better(v, best.value);
    best.value = wins ? v : best.value;
    best.code = wins ? all(tap) : best.code;
  }
};

// To memory past the cache; `p` is aligned to the vector.
template <int Bytes, typename V>
inline void stream(void* p, V v) {
#if defined(__AVX512F__)
  if constexpr (Bytes == 64) return _mm512_stream_si512(static_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#endif
#if defined(__AVX__)
  if constexpr (Bytes == 32) return _mm256_stream_si256(static_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#endif
#if defined(__SSE2__)
  if constexpr (Bytes == 16) return _mm_stream_si128(static_cast<__m128i*>(p), reinterpret_cast<__m128i>(v));
#endif
  __builtin_memcpy(p, &v, sizeof v);
}

// run(Lanes, first) for vectors that together cover [begin, end): whole ones, of which the last does part over again,
// or, where `loose`, runs over the end. What is shorter than the narrowest is left: returns the end of what was done.
template <typename E, int Bytes = kVectorBytes, typename Run>
inline std::int64_t cover(std::int64_t begin, std::int64_t end, bool loose, Run run) {
  using L = Lanes<E, Bytes>;
  if (loose) {
    for (std::int64_t i = begin; i < end; i += L::kCount) run(L{}, i);
    return end;
  }
  if (end - begin >= L::kCount) {
    std::int64_t i = begin;
    for (; i + L::kCount <= end; i += L::kCount) run(L{}, i);
    if (i < end) run(L{}, end - L::kCount);
    return end;
  }
  if constexpr (Bytes > 16) return cover<E, Bytes / 2>(begin, end, false, run);
  return begin;
}

}  // namespace
}  // namespace pyseg::max_unpool
