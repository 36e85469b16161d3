// CIELAB (D65, 2 degrees) from sRGB, one row at a time. Only additions and multiplications in a fixed order, so
// the values are the same on every instruction set.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::lab {

struct Kernels {
  // Bytes in, bytes out: 2 L, 2 a + 128, 2 b + 128, rounded and clamped to 0..255. `step`: bytes from pixel to pixel.
  void (*bytes)(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b, std::int64_t step,
                std::int64_t count, std::uint8_t* out_l, std::uint8_t* out_a, std::uint8_t* out_b);
  // sRGB in [0, 1] to L in 0..100 and a, b; in place: channels[0..2], each `count` values.
  void (*floats)(float* r, float* g, float* b, std::int64_t count);
};

PYSEG_DISPATCH(Kernels, kernels)

}  // namespace pyseg::lab
