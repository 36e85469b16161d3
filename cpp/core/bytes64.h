// 64 unsigned bytes at once: one AVX-512 register, two AVX2 registers, or a plain array that the compiler vectorises.
// For *.simd.cpp only: everything is internal to the translation unit, so that no copy built for a wider instruction
// set can reach the linker.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace pyseg {
namespace {

#if defined(__AVX512BW__)

struct Bytes64 {
  __m512i v;
};

inline Bytes64 load64(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store64(std::uint8_t* p, Bytes64 a) { _mm512_storeu_si512(p, a.v); }
inline Bytes64 splat64(std::uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
inline Bytes64 repeat4(std::uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
// The same 16 bytes four times.
inline Bytes64 repeat16(const std::uint8_t* p) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
// Within each group of 16 bytes: out[i] = a[at[i]].
inline Bytes64 shuffle16(Bytes64 a, Bytes64 at) { return {_mm512_shuffle_epi8(a.v, at.v)}; }
inline Bytes64 add_saturated(Bytes64 a, Bytes64 b) { return {_mm512_adds_epu8(a.v, b.v)}; }
inline Bytes64 abs_difference(Bytes64 a, Bytes64 b) {
  return {_mm512_or_si512(_mm512_subs_epu8(a.v, b.v), _mm512_subs_epu8(b.v, a.v))};
}
inline std::uint64_t equal64(Bytes64 a, Bytes64 b) { return _mm512_cmpeq_epi8_mask(a.v, b.v); }
// Where distance < best: best = distance, index = i.
inline void keep_nearer(Bytes64 distance, Bytes64 i, Bytes64& best, Bytes64& index) {
  const __mmask64 nearer = _mm512_cmplt_epu8_mask(distance.v, best.v);
  best.v = _mm512_min_epu8(best.v, distance.v);
  index.v = _mm512_mask_mov_epi8(index.v, nearer, i.v);
}
// Sums of a, b, c and d over the bytes in `mask`, 16 bits each, packed from the low end.
inline std::uint64_t masked_sums(std::uint64_t mask, Bytes64 a, Bytes64 b, Bytes64 c, Bytes64 d) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i sa = _mm512_sad_epu8(_mm512_maskz_mov_epi8(mask, a.v), zero);
  const __m512i sb = _mm512_sad_epu8(_mm512_maskz_mov_epi8(mask, b.v), zero);
  const __m512i sc = _mm512_sad_epu8(_mm512_maskz_mov_epi8(mask, c.v), zero);
  const __m512i sd = _mm512_sad_epu8(_mm512_maskz_mov_epi8(mask, d.v), zero);
  const __m512i low = _mm512_or_si512(sa, _mm512_slli_epi64(sb, 16));
  const __m512i s = _mm512_or_si512(low, _mm512_or_si512(_mm512_slli_epi64(sc, 32), _mm512_slli_epi64(sd, 48)));
  const __m256i h = _mm256_add_epi64(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
  const __m128i q = _mm_add_epi64(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(q)) + static_cast<std::uint64_t>(_mm_extract_epi64(q, 1));
}

#elif defined(__AVX2__)

struct Bytes64 {
  __m256i v, w;
};

inline Bytes64 load64(const std::uint8_t* p) {
  const auto* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline void store64(std::uint8_t* p, Bytes64 a) {
  auto* q = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.v);
  _mm256_storeu_si256(q + 1, a.w);
}
inline Bytes64 splat64(std::uint8_t x) {
  const __m256i v = _mm256_set1_epi8(static_cast<char>(x));
  return {v, v};
}
inline Bytes64 repeat4(std::uint32_t x) {
  const __m256i v = _mm256_set1_epi32(static_cast<int>(x));
  return {v, v};
}
inline Bytes64 repeat16(const std::uint8_t* p) {
  const __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {v, v};
}
inline Bytes64 shuffle16(Bytes64 a, Bytes64 at) {
  return {_mm256_shuffle_epi8(a.v, at.v), _mm256_shuffle_epi8(a.w, at.w)};
}
inline Bytes64 add_saturated(Bytes64 a, Bytes64 b) { return {_mm256_adds_epu8(a.v, b.v), _mm256_adds_epu8(a.w, b.w)}; }
inline Bytes64 abs_difference(Bytes64 a, Bytes64 b) {
  return {_mm256_or_si256(_mm256_subs_epu8(a.v, b.v), _mm256_subs_epu8(b.v, a.v)),
          _mm256_or_si256(_mm256_subs_epu8(a.w, b.w), _mm256_subs_epu8(b.w, a.w))};
}
inline std::uint64_t equal64(Bytes64 a, Bytes64 b) {
  const auto low = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a.v, b.v)));
  const auto high = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a.w, b.w)));
  return low | static_cast<std::uint64_t>(high) << 32;
}
inline void keep_nearer(Bytes64 distance, Bytes64 i, Bytes64& best, Bytes64& index) {
  const auto half = [](__m256i d, __m256i i, __m256i& best, __m256i& index) {
    const __m256i least = _mm256_min_epu8(best, d);
    index = _mm256_blendv_epi8(i, index, _mm256_cmpeq_epi8(least, best));  // best stays: not nearer
    best = least;
  };
  half(distance.v, i.v, best.v, index.v);
  half(distance.w, i.w, best.w, index.w);
}
// 0xff where a bit of the mask is set.
inline __m256i bytes_of_bits(std::uint32_t mask) {
  const __m256i spread =
      _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  const __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(mask)), spread);
  return _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
}
inline std::uint64_t masked_sums(std::uint64_t mask, Bytes64 a, Bytes64 b, Bytes64 c, Bytes64 d) {
  const __m256i low = bytes_of_bits(static_cast<std::uint32_t>(mask));
  const __m256i high = bytes_of_bits(static_cast<std::uint32_t>(mask >> 32));
  const __m256i zero = _mm256_setzero_si256();
  const auto sum = [&](Bytes64 x) {
    return _mm256_add_epi64(_mm256_sad_epu8(_mm256_and_si256(low, x.v), zero),
                            _mm256_sad_epu8(_mm256_and_si256(high, x.w), zero));
  };
  const __m256i ab = _mm256_or_si256(sum(a), _mm256_slli_epi64(sum(b), 16));
  const __m256i cd = _mm256_or_si256(_mm256_slli_epi64(sum(c), 32), _mm256_slli_epi64(sum(d), 48));
  const __m256i s = _mm256_or_si256(ab, cd);
  const __m128i q = _mm_add_epi64(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(q)) + static_cast<std::uint64_t>(_mm_extract_epi64(q, 1));
}

#else

struct Bytes64 {
  std::uint8_t v[64];
};

inline Bytes64 load64(const std::uint8_t* p) {
  Bytes64 a;
  std::memcpy(a.v, p, 64);
  return a;
}
inline void store64(std::uint8_t* p, const Bytes64& a) { std::memcpy(p, a.v, 64); }
inline Bytes64 splat64(std::uint8_t x) {
  Bytes64 a;
  std::memset(a.v, x, 64);
  return a;
}
inline Bytes64 repeat4(std::uint32_t x) {
  Bytes64 a;
  for (int i = 0; i < 64; i += 4) std::memcpy(a.v + i, &x, 4);
  return a;
}
inline Bytes64 repeat16(const std::uint8_t* p) {
  Bytes64 a;
  for (int i = 0; i < 64; i += 16) std::memcpy(a.v + i, p, 16);
  return a;
}
inline Bytes64 shuffle16(const Bytes64& a, const Bytes64& at) {
  Bytes64 r;
  for (int i = 0; i < 64; ++i) r.v[i] = a.v[(i & 48) + at.v[i]];
  return r;
}
inline Bytes64 add_saturated(const Bytes64& a, const Bytes64& b) {
  Bytes64 r;
  for (int i = 0; i < 64; ++i) {
    const auto sum = static_cast<std::uint8_t>(a.v[i] + b.v[i]);
    r.v[i] = static_cast<std::uint8_t>(sum | -(sum < a.v[i]));
  }
  return r;
}
inline Bytes64 abs_difference(const Bytes64& a, const Bytes64& b) {
  Bytes64 r;
  for (int i = 0; i < 64; ++i) {
    const std::uint8_t high = a.v[i] > b.v[i] ? a.v[i] : b.v[i], low = a.v[i] > b.v[i] ? b.v[i] : a.v[i];
    r.v[i] = static_cast<std::uint8_t>(high - low);
  }
  return r;
}
inline std::uint64_t equal64(const Bytes64& a, const Bytes64& b) {
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) mask |= static_cast<std::uint64_t>(a.v[i] == b.v[i]) << i;
  return mask;
}
inline void keep_nearer(const Bytes64& distance, const Bytes64& i, Bytes64& best, Bytes64& index) {
  for (int j = 0; j < 64; ++j) {
    const bool nearer = distance.v[j] < best.v[j];
    best.v[j] = nearer ? distance.v[j] : best.v[j];
    index.v[j] = nearer ? i.v[j] : index.v[j];
  }
}
inline std::uint64_t masked_sums(std::uint64_t mask, const Bytes64& a, const Bytes64& b, const Bytes64& c,
                                 const Bytes64& d) {
  std::uint64_t s = 0;
  for (; mask != 0; mask &= mask - 1) {
    const int i = __builtin_ctzll(mask);
    s += a.v[i] | static_cast<std::uint64_t>(b.v[i]) << 16 | static_cast<std::uint64_t>(c.v[i]) << 32 |
         static_cast<std::uint64_t>(d.v[i]) << 48;
  }
  return s;
}

#endif

}  // namespace
}  // namespace pyseg
