// Vectors of float or double and of integers of their size, and 2^y. For *.simd.cpp only: everything is internal to the
// translation unit, so that no copy built for a wider instruction set can reach the linker.
#pragma once

#include <cstdint>
#include <cstring>
#include <iterator>

#include "core/vectors.h"
#include "quickshift/field.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::quickshift {
namespace {

template <typename T>
struct Lanes;

template <>
struct Lanes<float> {
  typedef float Reals __attribute__((vector_size(kVectorBytes)));
  typedef std::int32_t Ints __attribute__((vector_size(kVectorBytes)));
  static constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer, in the lowest bits
  static constexpr int kMantissa = 23;
  static constexpr float kZero = -12;  // 2^kZero rounds to 0, that factor or not
  static constexpr float kPower[] = {5.842974319f, 25.10395896f, 72.42574987f, 104.4920169f};
};

template <>
struct Lanes<double> {
  typedef double Reals __attribute__((vector_size(kVectorBytes)));
  typedef std::int64_t Ints __attribute__((vector_size(kVectorBytes)));
  static constexpr double kRound = 0x1.8p52;
  static constexpr int kMantissa = 52;
  static constexpr double kZero = -30;
  static constexpr double kPower[] = {13.063020728338481, 150.27073089749058, 1517.5294883539718,
                                      13136.074477900547, 94756.75212013123,  546820.3807352985,
                                      2366685.1544410717, 6828809.871388624,  9851890.13662715};
};

template <typename T>
using Reals = typename Lanes<T>::Reals;
template <typename T>
using Ints = typename Lanes<T>::Ints;
template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

// `b` where either is NaN.
template <typename V>
inline V larger(V a, V b) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof a[0] == 4) return reinterpret_cast<V>(_mm512_max_ps(a, b));
  else return reinterpret_cast<V>(_mm512_max_pd(a, b));
#elif defined(__AVX2__)
  if constexpr (sizeof a[0] == 4) return reinterpret_cast<V>(_mm256_max_ps(a, b));
  else return reinterpret_cast<V>(_mm256_max_pd(a, b));
#elif defined(__SSE2__)
  if constexpr (sizeof a[0] == 4) return reinterpret_cast<V>(_mm_max_ps(a, b));
  else return reinterpret_cast<V>(_mm_max_pd(a, b));
#else
  return a > b ? a : b;
#endif
}

// 2^y over the leading factor of the polynomial, which saves a multiplication; what is too low, or NaN, comes out as
// less than 1/2. The nearest integer goes to the exponent, the rest, -1/2 .. 1/2, to the polynomial: minimax, of degree
// 4 (to 3e-6) or 9 (to 1.4e-14).
template <typename T>
inline Reals<T> power(Reals<T> y) {
  using L = Lanes<T>;
  y = larger(y, Reals<T>{} + L::kZero);
  const Reals<T> rounded = y + L::kRound;
  const Reals<T> f = y - (rounded - L::kRound);
  // Odd and even powers apart: half the latency, for one more multiplication.
  constexpr std::size_t kDegree = std::size(L::kPower);
  const Reals<T> f2 = f * f;
  Reals<T> first = f2 + L::kPower[1], second = f2 * L::kPower[0] + L::kPower[2];
  for (std::size_t i = 3; i < kDegree; ++i) {
    Reals<T>& sum = i % 2 == 1 ? first : second;
    sum = sum * f2 + L::kPower[i];
  }
  const Reals<T> p = kDegree % 2 == 0 ? second * f + first : first * f + second;
  return reinterpret_cast<Reals<T>>(reinterpret_cast<Ints<T>>(p) +
                                    (reinterpret_cast<Ints<T>>(rounded) << L::kMantissa));
}

// To the nearest integers, ties to even; doubles of less than 2^51.
template <typename T>
inline Ints<T> nearest(Reals<T> v) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(T) == 4) return reinterpret_cast<Ints<T>>(_mm512_cvtps_epi32(v));
  else return reinterpret_cast<Ints<T>>(_mm512_cvtpd_epi64(v));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return reinterpret_cast<Ints<T>>(_mm256_cvtps_epi32(v));
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4) return reinterpret_cast<Ints<T>>(_mm_cvtps_epi32(v));
#else
  if constexpr (sizeof(T) == 4) {
    Ints<T> out{};
    for (int i = 0; i < kLanes<T>; ++i) out[i] = static_cast<std::int32_t>(__builtin_lrintf(v[i]));
    return out;
  }
#endif
  const Reals<T> round = Reals<T>{} + Lanes<T>::kRound;
  return reinterpret_cast<Ints<T>>(v + round) - reinterpret_cast<Ints<T>>(round);
}

// Is a lane of a comparison's result set?
template <typename V>
inline bool any(V mask) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof mask[0] == 4) return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)) != 0;
  else return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8(reinterpret_cast<__m256i>(mask)) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8(reinterpret_cast<__m128i>(mask)) != 0;
#else
  bool set = false;
  for (std::size_t i = 0; i < sizeof mask / sizeof mask[0]; ++i) set |= mask[i] != 0;
  return set;
#endif
}

constexpr int kAny = 0;  // channels, where their number is no constant

// A vector of pixels and, where it is known how many, its channels in registers.
template <typename T, int Channels>
class Pixels {
 public:
  Pixels(const Field<T>& field, const T* at) : channels_(field.channels), plane_(field.plane), at_(at) {
    for (int c = 0; c < Channels; ++c) held_[c] = load<Reals<T>>(at + c * plane_);
  }
  // Squared distance in colour to the pixels at `other`, summed in the channels' order.
  Reals<T> distance(const T* other) const {
    const std::int64_t channels = Channels == kAny ? channels_ : Channels;
    Reals<T> sum{};
    for (std::int64_t c = 0; c < channels; ++c) {
      const Reals<T> mine = Channels == kAny ? load<Reals<T>>(at_ + c * plane_) : held_[c];
      const Reals<T> d = mine - load<Reals<T>>(other + c * plane_);
      sum = c == 0 ? d * d : sum + d * d;
    }
    return sum;
  }

 private:
  const std::int64_t channels_, plane_;
  const T* const at_;
  Reals<T> held_[Channels == kAny ? 1 : Channels];
};

}  // namespace
}  // namespace pyseg::quickshift
