// exp, log and transposition of registers of floats, the same bits on every instruction set: no fused multiply-add.
// Within 2 ulp; the polynomials are those of Cephes (Moshier), expf.c and logf.c. For translation units of their own
// instruction set: everything is internal.
#pragma once

#include <cstring>

#include "permutohedral/rows.h"

namespace pyseg {
namespace {

template <typename To, typename From>
inline To bits_of(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline Floats greater_of(Floats a, Floats b) { return a > b ? a : b; }
inline Floats all(float x) { return Floats{} + x; }

// -87 <= x <= 88.
inline Floats exp_of(Floats x) {
  constexpr float kShift = 12582912.0f;
  const Floats shifted = x * 1.44269504088896341f + kShift;
  const Floats n = shifted - kShift;
  Floats r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Floats y = all(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  // n sits in the low bits of `shifted`; into the exponent with it.
  return bits_of<Floats>(bits_of<Ints>(y) + (bits_of<Ints>(shifted) << 23));
}

// x > 0, normal.
inline Floats log_of(Floats x) {
  const Ints bits = bits_of<Ints>(x);
  Ints exponent = ((bits >> 23) & 0xff) - 126;
  Floats m = bits_of<Floats>((bits & 0x7fffff) | 0x3f000000);  // [0.5, 1)
  const Ints small = m < 0.70710678f;
  exponent += small;
  m = (small ? m + m : m) - 1.0f;
  const Floats z = m * m, e = __builtin_convertvector(exponent, Floats);
  Floats y = all(7.0376836292e-2f);
  y = y * m + -1.1514610310e-1f;
  y = y * m + 1.1676998740e-1f;
  y = y * m + -1.2420140846e-1f;
  y = y * m + 1.4249322787e-1f;
  y = y * m + -1.6668057665e-1f;
  y = y * m + 2.0000714765e-1f;
  y = y * m + -2.4999993993e-1f;
  y = y * m + 3.3333331174e-1f;
  y = y * m * z;
  y = y + e * -2.12194440e-4f;
  y = y - z * 0.5f;
  return m + y + e * 0.693359375f;
}

using Four = Float4;

inline void transpose(Four* v) {
  using Index = std::int32_t __attribute__((vector_size(16)));
  const Four low0 = __builtin_shuffle(v[0], v[1], Index{0, 4, 1, 5});
  const Four low1 = __builtin_shuffle(v[2], v[3], Index{0, 4, 1, 5});
  const Four high0 = __builtin_shuffle(v[0], v[1], Index{2, 6, 3, 7});
  const Four high1 = __builtin_shuffle(v[2], v[3], Index{2, 6, 3, 7});
  v[0] = __builtin_shuffle(low0, low1, Index{0, 1, 4, 5});
  v[1] = __builtin_shuffle(low0, low1, Index{2, 3, 6, 7});
  v[2] = __builtin_shuffle(high0, high1, Index{0, 1, 4, 5});
  v[3] = __builtin_shuffle(high0, high1, Index{2, 3, 6, 7});
}

// Are these all points in a row?
inline bool adjacent(const std::uint32_t* points, int count) {
  bool all = true;
  for (int i = 1; i < count; ++i) all &= points[i] == points[0] + static_cast<std::uint32_t>(i);
  return all;
}

}  // namespace
}  // namespace pyseg
