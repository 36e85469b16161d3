// Codes of one byte to and from lanes of 2, 4 or 8: __builtin_convertvector takes them apart one by one. For *.simd.cpp
// only.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/vectors.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::max_unpool {
namespace {

// kLane: bytes of a lane; M: the vector of them.
template <int kLane, typename M>
inline M widen_codes(const std::uint8_t* p) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(M) == 64) {
    if constexpr (kLane == 2)
      return reinterpret_cast<M>(_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
    else if constexpr (kLane == 4)
      return reinterpret_cast<M>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    else return reinterpret_cast<M>(_mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(M) == 32) {
    if constexpr (kLane == 2)
      return reinterpret_cast<M>(_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    else if constexpr (kLane == 4)
      return reinterpret_cast<M>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    else return reinterpret_cast<M>(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(load<std::int32_t>(p))));
  }
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(M) == 16) {
    const __m128i zero = _mm_setzero_si128();
    if constexpr (kLane == 2)
      return reinterpret_cast<M>(_mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), zero));
    const __m128i raw = _mm_cvtsi32_si128(kLane == 4 ? load<std::int32_t>(p) : load<std::uint16_t>(p));
    const __m128i words = _mm_unpacklo_epi16(_mm_unpacklo_epi8(raw, zero), zero);
    return reinterpret_cast<M>(kLane == 4 ? words : _mm_unpacklo_epi32(words, zero));
  }
#endif
  M v;
  for (unsigned i = 0; i < sizeof(M) / kLane; ++i) v[i] = p[i];
  return v;
}

template <int kLane, typename M>
inline void narrow_codes(std::uint8_t* p, M v) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(M) == 64) {
    const auto w = reinterpret_cast<__m512i>(v);
    if constexpr (kLane == 2) _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi16_epi8(w));
    else if constexpr (kLane == 4) _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(w));
    else _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm512_cvtepi64_epi8(w));
    return;
  }
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(M) == 32) {
    const auto w = reinterpret_cast<__m256i>(v);
    const __m128i low = _mm256_castsi256_si128(w), high = _mm256_extracti128_si256(w, 1);
    if constexpr (kLane == 2) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(low, high));
    } else if constexpr (kLane == 4) {
      const __m128i words = _mm_packs_epi32(low, high);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    } else {
      const auto ends = reinterpret_cast<__m128>(low), other = reinterpret_cast<__m128>(high);
      const auto ints = reinterpret_cast<__m128i>(_mm_shuffle_ps(ends, other, 0x88));
      const __m128i words = _mm_packs_epi32(ints, ints);
      store(p, _mm_cvtsi128_si32(_mm_packus_epi16(words, words)));
    }
    return;
  }
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(M) == 16) {
    auto w = reinterpret_cast<__m128i>(v);
    if constexpr (kLane == 2) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(w, w));
    } else {
      if constexpr (kLane == 8) w = _mm_shuffle_epi32(w, 0x88);
      const __m128i words = _mm_packs_epi32(w, w);
      const std::int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
      std::memcpy(p, &four, kLane == 8 ? 2 : 4);
    }
    return;
  }
#endif
  for (unsigned i = 0; i < sizeof(M) / kLane; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
}

}  // namespace
}  // namespace pyseg::max_unpool
