// Vectors of float32 for the inner loops. For *.simd.cpp only: everything is internal to the translation unit, so that
// no copy built for a wider instruction set can reach the linker.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/vectors.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::turbopixels {
namespace {

constexpr int kLanes = kVectorBytes / 4;

inline Ints bits(Floats v) { return reinterpret_cast<Ints>(v); }
inline Floats of_bits(Ints v) { return reinterpret_cast<Floats>(v); }
inline Floats splat(float v) { return Floats{} + v; }
inline Floats magnitude(Floats v) { return of_bits(bits(v) & 0x7FFFFFFF); }

// Mask: one truth a lane. least(a, b) is a < b ? a : b, most(a, b) is a > b ? a : b; the compiler would not find the
// instructions by itself, which cost one operation instead of two or three.
#if defined(__AVX512DQ__)

using Mask = __mmask16;
inline __m512 raw(Floats v) { return reinterpret_cast<__m512>(v); }
inline Floats root(Floats v) { return reinterpret_cast<Floats>(_mm512_sqrt_ps(raw(v))); }
inline Floats least(Floats a, Floats b) { return reinterpret_cast<Floats>(_mm512_min_ps(raw(a), raw(b))); }
inline Floats most(Floats a, Floats b) { return reinterpret_cast<Floats>(_mm512_max_ps(raw(a), raw(b))); }
inline Mask less(Floats a, Floats b) { return _mm512_cmp_ps_mask(raw(a), raw(b), _CMP_LT_OQ); }
inline Mask no_more(Floats a, Floats b) { return _mm512_cmp_ps_mask(raw(a), raw(b), _CMP_LE_OQ); }
inline Mask differ(Floats a, Floats b) {
  return _mm512_cmpneq_epi32_mask(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
}
inline Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
inline Mask inverse(Mask a) { return static_cast<Mask>(~a); }
inline Floats select(Mask m, Floats a, Floats b) {
  return reinterpret_cast<Floats>(_mm512_mask_blend_ps(m, raw(b), raw(a)));
}
inline unsigned lanes(Mask m) { return m; }
inline Mask of_lanes(unsigned m) { return static_cast<Mask>(m); }

#elif defined(__AVX2__)

using Mask = __m256;
inline __m256 raw(Floats v) { return reinterpret_cast<__m256>(v); }
inline Floats root(Floats v) { return reinterpret_cast<Floats>(_mm256_sqrt_ps(raw(v))); }
inline Floats least(Floats a, Floats b) { return reinterpret_cast<Floats>(_mm256_min_ps(raw(a), raw(b))); }
inline Floats most(Floats a, Floats b) { return reinterpret_cast<Floats>(_mm256_max_ps(raw(a), raw(b))); }
inline Mask less(Floats a, Floats b) { return _mm256_cmp_ps(raw(a), raw(b), _CMP_LT_OQ); }
inline Mask no_more(Floats a, Floats b) { return _mm256_cmp_ps(raw(a), raw(b), _CMP_LE_OQ); }
inline Mask differ(Floats a, Floats b) { return reinterpret_cast<Mask>(bits(a) != bits(b)); }
inline Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
inline Mask inverse(Mask a) { return reinterpret_cast<Mask>(~reinterpret_cast<Ints>(a)); }
inline Floats select(Mask m, Floats a, Floats b) {
  return reinterpret_cast<Floats>(_mm256_blendv_ps(raw(b), raw(a), m));
}
inline unsigned lanes(Mask m) { return static_cast<unsigned>(_mm256_movemask_ps(m)); }
inline Mask of_lanes(unsigned m) {
  const Ints bit = {1, 2, 4, 8, 16, 32, 64, 128};
  return reinterpret_cast<Mask>(((Ints{} + static_cast<std::int32_t>(m)) & bit) != 0);
}

#else

using Mask = Ints;  // 0 or -1
inline Mask less(Floats a, Floats b) { return a < b; }
inline Mask no_more(Floats a, Floats b) { return a <= b; }
inline Mask differ(Floats a, Floats b) { return bits(a) != bits(b); }
inline Mask both(Mask a, Mask b) { return a & b; }
inline Mask inverse(Mask a) { return ~a; }
inline Floats select(Mask m, Floats a, Floats b) { return of_bits((bits(a) & m) | (bits(b) & ~m)); }
inline Mask of_lanes(unsigned m) {
  const Ints bit = {1, 2, 4, 8};
  return ((Ints{} + static_cast<std::int32_t>(m)) & bit) != 0;
}
#if defined(__SSE2__)
inline __m128 raw(Floats v) { return reinterpret_cast<__m128>(v); }
inline Floats root(Floats v) { return reinterpret_cast<Floats>(_mm_sqrt_ps(raw(v))); }
inline Floats least(Floats a, Floats b) { return reinterpret_cast<Floats>(_mm_min_ps(raw(a), raw(b))); }
inline Floats most(Floats a, Floats b) { return reinterpret_cast<Floats>(_mm_max_ps(raw(a), raw(b))); }
inline unsigned lanes(Mask m) { return static_cast<unsigned>(_mm_movemask_ps(reinterpret_cast<__m128>(m))); }
#else
inline Floats root(Floats v) {
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}
inline Floats least(Floats a, Floats b) { return select(a < b, a, b); }
inline Floats most(Floats a, Floats b) { return select(a > b, a, b); }
inline unsigned lanes(Mask m) {
  unsigned all = 0;
  for (int i = 0; i < kLanes; ++i) all |= static_cast<unsigned>(m[i] & 1) << i;
  return all;
}
#endif

#endif

inline Floats clip(Floats v, float low, float high) { return least(most(v, splat(low)), splat(high)); }
// The sign bit of the lanes in the mask, to be turned by ^.
inline Ints signs(Mask m) { return bits(select(m, of_bits(Ints{} + INT32_MIN), Floats{})); }
inline Floats turned(Floats v, Ints signs) { return of_bits(bits(v) ^ signs); }

// A row with the ones above and below it, at one vector of pixels.
struct Rows {
  const float *above, *at, *below;
};

// Derivatives by central differences.
struct Slopes {
  Floats x, y;
};
inline Slopes slopes(const Rows& r, std::int64_t x) {
  return {(load<Floats>(r.at + x + 1) - load<Floats>(r.at + x - 1)) * 0.5f,
          (load<Floats>(r.below + x) - load<Floats>(r.above + x)) * 0.5f};
}

// a_xx a_y^2 - 2 a_x a_y a_xy + a_yy a_x^2: the curvature of the level lines times |grad a|^3.
inline Floats bend(const Rows& r, std::int64_t x, Slopes s) {
  const Floats twice = 2.0f * load<Floats>(r.at + x);
  const Floats xx = (load<Floats>(r.at + x + 1) + load<Floats>(r.at + x - 1)) - twice;
  const Floats yy = (load<Floats>(r.below + x) + load<Floats>(r.above + x)) - twice;
  const Floats xy = ((load<Floats>(r.below + x + 1) - load<Floats>(r.above + x + 1)) -
                     (load<Floats>(r.below + x - 1) - load<Floats>(r.above + x - 1))) *
                    0.25f;
  return (xx * (s.y * s.y) - (2.0f * (s.x * s.y)) * xy) + yy * (s.x * s.x);
}

}  // namespace
}  // namespace pyseg::turbopixels
