// Half precision to and from float32, to nearest, ties to even. NaN stays one.
#pragma once

#include <bit>
#include <cstdint>

#include "max_unpool/max_unpool.h"

namespace pyseg::max_unpool {

inline float bfloat_to_float(std::uint16_t v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16); }

inline std::uint16_t float_to_bfloat(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float half_to_float(std::uint16_t v) {
  // The exponent is rebiased by a multiplication, which gets subnormals right.
  const float small = std::bit_cast<float>((v & 0x7FFFu) << 13) * 0x1p112f;
  const std::uint32_t top = (v & 0x7C00u) == 0x7C00u ? 0x7F800000u : 0u;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(small) | top | (v & 0x8000u) << 16);
}

inline std::uint16_t float_to_half(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 2^16 and more
  if (magnitude < 0x38800000u) {  // subnormal: an addition aligns and rounds
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3F000000u));
  }
  const std::uint32_t rounded = magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

// By Value: how it is stored, what it is computed in.
template <Value v>
struct Stored {
  using T = std::uint16_t;
  using Wide = float;
  static float widen(T x) { return v == Value::f16 ? half_to_float(x) : bfloat_to_float(x); }
  static T narrow(float x) { return v == Value::f16 ? float_to_half(x) : float_to_bfloat(x); }
  static constexpr Value value = v;
};
template <>
struct Stored<Value::f32> {
  using T = float;
  using Wide = float;
  static float widen(float x) { return x; }
  static float narrow(float x) { return x; }
  static constexpr Value value = Value::f32;
};
template <>
struct Stored<Value::f64> {
  using T = double;
  using Wide = double;
  static double widen(double x) { return x; }
  static double narrow(double x) { return x; }
  static constexpr Value value = Value::f64;
};

// run(Stored<value>{}).
template <typename Run>
void with_value(Value value, Run run) {
  if (value == Value::f16) run(Stored<Value::f16>{});
  else if (value == Value::bf16) run(Stored<Value::bf16>{});
  else if (value == Value::f32) run(Stored<Value::f32>{});
  else run(Stored<Value::f64>{});
}

}  // namespace pyseg::max_unpool
