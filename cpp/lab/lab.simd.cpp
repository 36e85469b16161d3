// CIELAB rows, compiled once per instruction set. The cube root starts from the exponent's bits and takes one (bytes) or
// two (floats) steps of Halley's iteration; the sRGB exponent 2.4 is u^2 (u^(1/5))^2, with the fifth root found the same way.
// Plain loops that the compiler vectorises; the table of 256 linear values is looked up by permutes where they exist.
#include "lab/lab.h"

#include <bit>
#include <cstring>

#include "lab/srgb.h"

#if defined(__AVX512VBMI__) || defined(__AVX512BW__)
#include <immintrin.h>
#endif

namespace pyseg::lab::PYSEG_ISA {
namespace {

constexpr int kChunk = 512;  // pixels in flight: their linear values stay in L1

// XYZ over the D65 white, from linear RGB.
constexpr float kX[3] = {0.43395633f, 0.37621531f, 0.18984309f};
constexpr float kY[3] = {0.2126729f, 0.7151522f, 0.072175f};
constexpr float kZ[3] = {0.01775782f, 0.1094756f, 0.87283638f};

template <int Steps>
inline float cube_root(float x) {
  float y = std::bit_cast<float>(static_cast<int>(static_cast<float>(std::bit_cast<int>(x)) * (1.0f / 3.0f) + 709921077.0f));
  for (int i = 0; i < Steps; ++i) {
    const float y3 = y * y * y;
    y = y * ((y3 + (x + x)) / (y3 + y3 + x));
  }
  return y;
}

template <int Steps>
inline float lab_f(float t) {
  const float low = t * 7.787037f + 0.13793103f;
  const float high = cube_root<Steps>(t > 0.008f ? t : 0.008f);
  return t > 0.008856452f ? high : low;
}

// ((c + 0.055) / 1.055)^2.4, or c / 12.92 near black.
inline float linear(float c) {
  const float u = (c + 0.055f) * (1.0f / 1.055f), x = u > 0.05f ? u : 0.05f;
  float y = std::bit_cast<float>(static_cast<int>(static_cast<float>(std::bit_cast<int>(x)) * 0.2f + 851905446.0f));
  for (int i = 0; i < 2; ++i) {
    const float y2 = y * y, y5 = y2 * y2 * y;
    y = y * ((y5 + y5 + x * 3.0f) / (y5 * 3.0f + (x + x)));
  }
  return c > 0.04045f ? x * x * (y * y) : c * (1.0f / 12.92f);
}

inline std::uint8_t to_byte(float v) {
  const float shifted = v + 0.5f;
  const float low = shifted > 0.0f ? shifted : 0.0f;
  return static_cast<std::uint8_t>(static_cast<int>(low < 255.0f ? low : 255.0f));
}

void look_up(const std::uint8_t* in, std::int64_t step, int count, std::uint16_t* out) {
  for (int i = 0; i < count; ++i) out[i] = kLinear16[in[i * step]];
}

#if defined(__AVX512BW__)
// 32 table values at once: four permutes of 64 entries, blended by the top two bits.
struct Table {
  __m512i t[8];
  Table() {
    for (int i = 0; i < 8; ++i) t[i] = _mm512_load_si512(kLinear16 + 32 * i);
  }
  __m512i operator()(__m512i v) const {
    const __m512i a = _mm512_permutex2var_epi16(t[0], v, t[1]), b = _mm512_permutex2var_epi16(t[2], v, t[3]);
    const __m512i c = _mm512_permutex2var_epi16(t[4], v, t[5]), d = _mm512_permutex2var_epi16(t[6], v, t[7]);
    const __mmask32 m6 = _mm512_test_epi16_mask(v, _mm512_set1_epi16(64));
    const __mmask32 m7 = _mm512_test_epi16_mask(v, _mm512_set1_epi16(128));
    return _mm512_mask_blend_epi16(m7, _mm512_mask_blend_epi16(m6, a, b), _mm512_mask_blend_epi16(m6, c, d));
  }
};

inline __m256i deinterleave(__m256i a, __m256i b, __m256i c, int channel) {
  // 32 pixels of 3 bytes lie in a, b, c; a byte shuffle per source, then the halves are put in order.
  alignas(32) std::uint8_t from[96], to[32];
  _mm256_store_si256(reinterpret_cast<__m256i*>(from), a);
  std::memcpy(from + 32, &b, 32);
  std::memcpy(from + 64, &c, 32);
  for (int i = 0; i < 32; ++i) to[i] = from[3 * i + channel];
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(to));
}
#endif

void to_linear(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b, std::int64_t step, int count,
               std::uint16_t (*out)[kChunk]) {
  const std::uint8_t* in[3] = {r, g, b};
  for (int c = 0; c < 3; ++c) look_up(in[c], step, count, out[c]);
}

void bytes(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b, std::int64_t step, std::int64_t count,
           std::uint8_t* out_l, std::uint8_t* out_a, std::uint8_t* out_b) {
  constexpr float k = 1.0f / 65535.0f;
  alignas(64) std::uint16_t light[3][kChunk];
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const int n = static_cast<int>(count - begin < kChunk ? count - begin : kChunk);
    to_linear(r + begin * step, g + begin * step, b + begin * step, step, n, light);
    std::uint8_t* __restrict l = out_l + begin;
    std::uint8_t* __restrict a = out_a + begin;
    std::uint8_t* __restrict o = out_b + begin;
    for (int i = 0; i < n; ++i) {
      const auto red = static_cast<float>(light[0][i]), green = static_cast<float>(light[1][i]),
                 blue = static_cast<float>(light[2][i]);
      const float fx = lab_f<1>(red * (kX[0] * k) + green * (kX[1] * k) + blue * (kX[2] * k));
      const float fy = lab_f<1>(red * (kY[0] * k) + green * (kY[1] * k) + blue * (kY[2] * k));
      const float fz = lab_f<1>(red * (kZ[0] * k) + green * (kZ[1] * k) + blue * (kZ[2] * k));
      l[i] = to_byte(fy * 232.0f - 32.0f);
      a[i] = to_byte((fx - fy) * 1000.0f + 128.0f);
      o[i] = to_byte((fy - fz) * 400.0f + 128.0f);
    }
  }
}

void floats(float* __restrict r, float* __restrict g, float* __restrict b, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float red = linear(r[i]), green = linear(g[i]), blue = linear(b[i]);
    const float fx = lab_f<2>(red * kX[0] + green * kX[1] + blue * kX[2]);
    const float fy = lab_f<2>(red * kY[0] + green * kY[1] + blue * kY[2]);
    const float fz = lab_f<2>(red * kZ[0] + green * kZ[1] + blue * kZ[2]);
    r[i] = fy * 116.0f - 16.0f;
    g[i] = (fx - fy) * 500.0f;
    b[i] = (fy - fz) * 200.0f;
  }
}

}  // namespace

const Kernels* kernels() {
  static constexpr Kernels table{bytes, floats};
  return &table;
}

}  // namespace pyseg::lab::PYSEG_ISA
