// 16 keys of a tile as 1, 2 or 4 vectors. For *.simd.cpp only: everything is internal to the translation unit. Every
// lane is a chain of its own and sums of lanes have one order, so that the width of a vector does not show in results.
#pragma once

#include <cstdint>

#include "core/vectors.h"
#include "masked_attention/masked_attention.h"

namespace pyseg::masked_attention {
namespace {

constexpr int kLanes = kVectorBytes / 4;
constexpr int kParts = 16 / kLanes;  // vectors of a tile

// a > b ? a : b
[[maybe_unused]] inline Floats most(const Floats& a, const Floats& b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_max_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<Floats>(_mm_max_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
#else
  return a > b ? a : b;
#endif
}

// Of lanes `part * kLanes ...` of a tile: a where its bit is set, b elsewhere.
[[maybe_unused]] inline Floats choose(unsigned bits, int part, const Floats& a, const Floats& b) {
#if defined(__AVX512F__)
  (void)part;
  return reinterpret_cast<Floats>(
      _mm512_mask_blend_ps(static_cast<__mmask16>(bits), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(a)));
#else
  Ints lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = 1 << i;
  const Ints on = (Ints{} + static_cast<std::int32_t>(bits >> (part * kLanes))) & lane;
  return on != 0 ? a : b;
#endif
}

// exp(x) by 2^n times a polynomial (Cephes' expf: 1e-7 relative), for x <= 0 or a little above; below -87.3, 0.
[[maybe_unused]] inline Floats exponential(const Floats& x) {
  const Floats magic = splat(12582912.0f);  // 1.5 * 2^23: the integer part ends up in the low bits
  const Floats shifted = multiply_add(x, splat(1.44269504088896341f), magic);
  const Floats n = shifted - magic;
  Floats f = multiply_add(n, splat(-0.693359375f), x);
  f = multiply_add(n, splat(2.12194440e-4f), f);
  Floats p = splat(1.9875691500e-4f);
  p = multiply_add(p, f, splat(1.3981999507e-3f));
  p = multiply_add(p, f, splat(8.3334519073e-3f));
  p = multiply_add(p, f, splat(4.1665795894e-2f));
  p = multiply_add(p, f, splat(1.6666665459e-1f));
  p = multiply_add(p, f, splat(5.0000001201e-1f));
  p = multiply_add(p, f * f, f + 1.0f);
  const Floats scale = reinterpret_cast<Floats>((reinterpret_cast<Ints>(shifted) << 23) + 0x3F800000);
  return x < splat(-87.3f) ? Floats{} : p * scale;  // NaN stays
}

// The tiles with any bit set.
[[maybe_unused]] inline unsigned tiles_with_bits(const std::uint16_t* bits) {
#if defined(__SSE2__)
  const __m128i zero = _mm_setzero_si128();
  const __m128i a = _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits)), zero);
  const __m128i b = _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits + 8)), zero);
  return 0xFFFFu & ~static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(a, b)));
#else
  unsigned result = 0;
  for (int t = 0; t < kTiles; ++t) result |= (bits[t] != 0 ? 1u : 0u) << t;
  return result;
#endif
}

[[maybe_unused]] inline int list_tiles(unsigned set, int* tiles) {
  int n = 0;
  for (unsigned rest = set; rest != 0; rest &= rest - 1) tiles[n++] = __builtin_ctz(rest);
  return n;
}

// Asks memory for the next rows of a list, a share of it at each call.
class Ahead {
 public:
  template <typename C>
  Ahead(const C& chunk, std::int64_t calls)
      : at_(chunk.ahead),
        end_(chunk.ahead + chunk.ahead_count),
        share_(calls > 0 ? (chunk.ahead_count + calls - 1) / calls : 0),
        length_(chunk.length) {}
  void next() {
    for (std::int64_t n = 0; n < share_ && at_ != end_; ++n, ++at_)
      for (std::int64_t d = 0; d < length_; d += 16) __builtin_prefetch(*at_ + d, 0, 2);
  }

 private:
  const float *const *at_, *const *end_;
  std::int64_t share_, length_;
};

template <typename C>
inline std::int64_t visits(const C& chunk) {
  std::int64_t sum = 0;
  for (int g = 0; g < kTiles; ++g) sum += chunk.active->counts[g];
  return sum;
}

template <int Count>
inline void products_of(const float* q, std::int64_t dim, const float* keys, const int* tiles, float* out) {
  Floats sum[Count][kParts];
  const float* k[Count];
#pragma GCC unroll 8
  for (int g = 0; g < Count; ++g) {
    k[g] = keys + tiles[g] * dim * kKeys;
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) sum[g][i] = Floats{};
  }
#pragma GCC unroll 4
  for (std::int64_t d = 0; d < dim; ++d) {
    const Floats value = splat(q[d]);
#pragma GCC unroll 8
    for (int g = 0; g < Count; ++g) {
#pragma GCC unroll 4
      for (int i = 0; i < kParts; ++i)
        sum[g][i] = multiply_add(value, load<Floats>(k[g] + d * kKeys + i * kLanes), sum[g][i]);
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < Count; ++g) {
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) store(out + g * kKeys + i * kLanes, sum[g][i]);
  }
}

// q k for the keys of `count` tiles: [count][16]. As many at a time as registers hold.
[[maybe_unused]] inline void products(const float* q, std::int64_t dim, const float* keys, const int* tiles, int count,
                                      float* out) {
  int g = 0;
  if constexpr (kParts == 1)
    for (; count - g >= 8; g += 8) products_of<8>(q, dim, keys, tiles + g, out + g * kKeys);
  if constexpr (kParts <= 2)
    for (; count - g >= 4; g += 4) products_of<4>(q, dim, keys, tiles + g, out + g * kKeys);
  for (; count - g >= 2; g += 2) products_of<2>(q, dim, keys, tiles + g, out + g * kKeys);
  if (count > g) products_of<1>(q, dim, keys, tiles + g, out + g * kKeys);
}

// sum[0 .. Blocks * 16) += weights of keys times their rows, in four chains (keys j, j + 4, ...) that
// begin at 0: short ones lose fewer digits than one through all keys.
template <int Blocks, bool Careful>
inline void weigh_block(const float* weights, const std::uint16_t* bits, const int* tiles, int count, const float* rows,
                        std::int64_t dim, float* sum) {
  constexpr int kWide = Blocks * kParts;
  Floats chain[4][kWide];
#pragma GCC unroll 8
  for (int i = 0; i < kWide; ++i) {
    chain[0][i] = chain[1][i] = chain[2][i] = chain[3][i] = Floats{};
  }
  for (int e = 0; e < count; ++e) {
    const float* w = weights + e * kKeys;
    const float* row = rows + tiles[e] * dim * kKeys;
#pragma GCC unroll 4
    for (int j = 0; j < kKeys; j += 4) {
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        if (Careful && (bits[tiles[e]] >> (j + c) & 1) == 0) continue;
        const Floats value = splat(w[j + c]);
#pragma GCC unroll 8
        for (int i = 0; i < kWide; ++i)
          chain[c][i] = multiply_add(value, load<Floats>(row + (j + c) * dim + i * kLanes), chain[c][i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kWide; ++i)
    store(sum + i * kLanes,
          load<Floats>(sum + i * kLanes) + ((chain[0][i] + chain[1][i]) + (chain[2][i] + chain[3][i])));
}

template <bool Careful>
inline void weigh(const float* weights, const std::uint16_t* bits, const int* tiles, int count, const float* rows,
                  std::int64_t dim, float* sum) {
  std::int64_t at = 0;
  if constexpr (kParts == 1) {
    for (; dim - at >= 64; at += 64) weigh_block<4, Careful>(weights, bits, tiles, count, rows + at, dim, sum + at);
    for (; dim - at >= 32; at += 32) weigh_block<2, Careful>(weights, bits, tiles, count, rows + at, dim, sum + at);
  }
  for (; at < dim; at += 16) weigh_block<1, Careful>(weights, bits, tiles, count, rows + at, dim, sum + at);
}

}  // namespace
}  // namespace pyseg::masked_attention
