// Rows of logits or bytes to rows of bits, and those to tiles.
//
// torch interpolates along x, then along y, each as fma(b, w, a * v): the same operations here, so that signs are the
// same. Halfway (an even factor) both weights are 1/2 and the sign is that of a plain sum: it is taken for every pair
// of neighbours, whole vectors at a time, and of 16 bits the ones wanted are extracted. What bounds that is reading
// logits.
#include "core/vectors.h"
#include "masked_attention/kernels.h"
#include "masked_attention/lanes.h"

namespace pyseg::masked_attention::PYSEG_ISA {
namespace {

inline std::uint64_t extract(std::uint64_t bits, std::uint64_t which) {
#if defined(__BMI2__)
  return _pext_u64(bits, which);
#else
  std::uint64_t result = 0;
  for (int n = 0; which != 0; which &= which - 1, ++n) result |= (bits >> __builtin_ctzll(which) & 1) << n;
  return result;
#endif
}

inline unsigned at_least(const Floats& v, float threshold) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(v), _mm512_set1_ps(threshold), _CMP_GE_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(
      _mm256_movemask_ps(_mm256_cmp_ps(reinterpret_cast<__m256>(v), _mm256_set1_ps(threshold), _CMP_GE_OQ)));
#elif defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpge_ps(reinterpret_cast<__m128>(v), _mm_set1_ps(threshold))));
#else
  unsigned result = 0;
  for (int i = 0; i < kLanes; ++i) result |= (v[i] >= threshold ? 1u : 0u) << i;
  return result;
#endif
}

// Unaligned vectors of 64 bytes would all cross lines.
constexpr int kNarrowBytes = kVectorBytes > 32 ? 32 : kVectorBytes;
constexpr int kNarrow = kNarrowBytes / 4;
using Narrow = float __attribute__((vector_size(kNarrowBytes)));

inline unsigned narrow_at_least(const Narrow& v, float threshold) {
#if defined(__AVX2__)
  return static_cast<unsigned>(
      _mm256_movemask_ps(_mm256_cmp_ps(reinterpret_cast<__m256>(v), _mm256_set1_ps(threshold), _CMP_GE_OQ)));
#else
  return at_least(v, threshold);
#endif
}

inline float multiply_add_one(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

template <int Step>
void halfway_by(const float* a, const float* b, const float* end, std::int64_t width, float threshold,
                std::uint16_t* out) {
  constexpr std::uint64_t kWanted = Step == 2 ? 0x5555 : Step == 4 ? 0x1111 : 0x0101;
  for (std::int64_t x = 0; x < width; x += 16, a += 16 * Step, b += 16 * Step) {
    const int count = width - x < 16 ? static_cast<int>(width - x) : 16;
    std::uint64_t word = 0;
    if (end - a > 16 * Step && end - b > 16 * Step) {
#pragma GCC unroll 8
      for (int s = 0; s < Step; ++s) {
        std::uint64_t bits = 0;
#pragma GCC unroll 4
        for (int i = 0; i < 16; i += kNarrow) {
          const float *p = a + 16 * s + i, *q = b + 16 * s + i;
          const Narrow sum = (load<Narrow>(p) + load<Narrow>(p + 1)) + (load<Narrow>(q) + load<Narrow>(q + 1));
          bits |= std::uint64_t{narrow_at_least(sum, threshold)} << i;
        }
        word |= extract(bits, kWanted) << (16 / Step * s);
      }
      word &= (std::uint64_t{1} << count) - 1;
    } else {
      for (int i = 0; i < count; ++i) {
        const float *p = a + i * Step, *q = b + i * Step;
        word |= std::uint64_t{(p[0] + p[1]) + (q[0] + q[1]) >= threshold ? 1u : 0u} << i;
      }
    }
    *out++ = static_cast<std::uint16_t>(word);
  }
}

void halfway(const float* a, const float* b, const float* end, int step, std::int64_t width, float threshold,
             std::uint16_t* out) {
  if (step == 2) halfway_by<2>(a, b, end, width, threshold, out);
  else if (step == 4) halfway_by<4>(a, b, end, width, threshold, out);
  else halfway_by<8>(a, b, end, width, threshold, out);
}

void across(const float* row, const std::int32_t* first, const std::int32_t* second, const float* weight,
            const float* other, std::int64_t width, float* out) {
  for (std::int64_t x = 0; x < width; ++x)
    out[x] = multiply_add_one(row[second[x]], other[x], row[first[x]] * weight[x]);
}

void between(const float* a, const float* b, float weight, float other, std::int64_t width, float threshold,
             std::uint16_t* out) {
  for (std::int64_t x = 0; x < width; x += 16) {
    unsigned word = 0;
    if (width - x >= 16) {
#pragma GCC unroll 4
      for (int i = 0; i < 16; i += kLanes) {
        const Floats v = multiply_add(load<Floats>(b + x + i), splat(other), load<Floats>(a + x + i) * splat(weight));
        word |= at_least(v, threshold) << i;
      }
    } else {
      for (int i = 0; i < width - x; ++i)
        word |= (multiply_add_one(b[x + i], other, a[x + i] * weight) >= threshold ? 1u : 0u) << i;
    }
    *out++ = static_cast<std::uint16_t>(word);
  }
}

void bytes(const std::uint8_t* row, std::int64_t width, std::uint16_t* out) {
  for (std::int64_t x = 0; x < width; x += 16) {
    unsigned word = 0;
    const int count = width - x < 16 ? static_cast<int>(width - x) : 16;
#if defined(__SSE2__)
    if (count == 16) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + x));
      word = 0xFFFFu & ~static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())));
      *out++ = static_cast<std::uint16_t>(word);
      continue;
    }
#endif
    for (int i = 0; i < count; ++i) word |= (row[x + i] != 0 ? 1u : 0u) << i;
    *out++ = static_cast<std::uint16_t>(word);
  }
}

void tiles(const std::uint16_t* rows, std::int64_t across, std::uint16_t* out) {
  constexpr std::uint64_t kNibbles = 0x000F000F000F000F;
  for (std::int64_t i = 0; i < across; ++i, out += kTiles) {
    std::uint64_t square = 0;
    for (int r = 0; r < 4; ++r) square |= std::uint64_t{rows[r * across + i]} << (16 * r);
    for (int t = 0; t < 4; ++t) {
#if defined(__BMI2__)
      out[t] = static_cast<std::uint16_t>(_pext_u64(square, kNibbles << (4 * t)));
#else
      const std::uint64_t part = square >> (4 * t) & kNibbles;
      out[t] = static_cast<std::uint16_t>(part | part >> 12 | part >> 24 | part >> 36);
#endif
    }
  }
}

}  // namespace

const BitKernels* bit_kernels() {
  static constexpr BitKernels table = {&halfway, &across, &between, &bytes, &tiles};
  return &table;
}

}  // namespace pyseg::masked_attention::PYSEG_ISA
