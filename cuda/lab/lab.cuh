// CIELAB of one pixel on the device: cpp/lab's bytes(), operation by operation, so that both give the same bytes.
// Compile without contraction (-fmad=false). See cpp/lab/lab.simd.cpp for what the polynomial and its constants are.
#pragma once

#include <cstdint>

#include "core/launch.cuh"
#include "lab/srgb.h"

namespace pyseg::lab::cuda {

struct Linear {
  std::uint16_t value[256];
};

constexpr Linear linear_table() {
  Linear table{};
  for (int i = 0; i < 256; ++i) table.value[i] = kLinear16[i];
  return table;
}

constexpr double kScale = 12.106555439432181, kUnscale = 0.6432083077600168, kUnit = kScale / 65535;
constexpr float kKnee = 0.008856452f;

__device__ inline float byte_f(float t) {
  constexpr float knee = static_cast<float>(kKnee * kScale);
  const float m = t > knee ? t : knee;
  // m^(-1/3) from the bits: each half of the word times 21845 / 65536.
  const auto bits = static_cast<std::uint32_t>(__float_as_int(m));
  const std::uint32_t third = ((bits >> 16) * 21845u & 0xffff0000u) | (bits & 0xffffu) * 21845u >> 16;
  const float y = __int_as_float(static_cast<int>(1418634015u - third));
  const float s = m * (y * y), h = s * y;
  return s * (((3.0650891f - h) * h - 3.6391465f) * h + 2.2473464f) + (t - m);
}

__device__ inline std::uint32_t to_byte(float v, int offset) {
  const int byte = __float2int_rn(v) + offset;
  return static_cast<std::uint32_t>(byte < 0 ? 0 : byte < 255 ? byte : 255);
}

// Linear light in 1/65535 to the bytes 2 L, 2 a + 128, 2 b + 128, from the low end.
__device__ inline std::uint32_t packed(float red, float green, float blue) {
  constexpr float rx = static_cast<float>(0.43395633f * kUnit), gx = static_cast<float>(0.37621531f * kUnit),
                  bx = static_cast<float>(0.18984309f * kUnit);
  constexpr float ry = static_cast<float>(0.2126729f * kUnit), gy = static_cast<float>(0.7151522f * kUnit),
                  by = static_cast<float>(0.072175f * kUnit);
  constexpr float rz = static_cast<float>(0.01775782f * kUnit), gz = static_cast<float>(0.1094756f * kUnit),
                  bz = static_cast<float>(0.87283638f * kUnit);
  const float fx = byte_f(red * rx + green * gx + blue * bx);
  const float fy = byte_f(red * ry + green * gy + blue * by);
  const float fz = byte_f(red * rz + green * gz + blue * bz);
  return to_byte(fy * static_cast<float>(232 * kUnscale), -32) |
         to_byte((fx - fy) * static_cast<float>(1000 * kUnscale), 128) << 8 |
         to_byte((fy - fz) * static_cast<float>(400 * kUnscale), 128) << 16;
}

}  // namespace pyseg::lab::cuda
