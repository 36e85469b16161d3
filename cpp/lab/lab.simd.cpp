// CIELAB rows, compiled once per instruction set; 4, 8 or 16 pixels are in flight. No division and no branch:
//   cube root  t^(1/3) = s h^(-2/3) for s = t y^2, h = t y^3. The bits of t give y, to 3 % proportional to t^(-1/3), so
//              that h stays within 0.67..0.82: a cubic is enough there for bytes (4e-6), a quartic for floats.
//   knee       CIELAB goes on below it along the tangent: f(t) = m^(1/3) + slope (t - m), m the larger of t and knee.
//   transfer   bytes: a table holds what each value of a channel adds to X, Y and Z, so that a pixel is three loads
//              and two additions, whatever the strides. floats: u^2.4 = (u y)^3 h^(-0.6) for y = u^(-1/5), h = u y^5.
// Vectors of 128 and 256 bits are bound by the arithmetic, those of 512 bits by the look-ups.
#include "lab/lab.h"

#include <cmath>
#include <cstddef>
#include <cstring>

#include "lab/srgb.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::lab::PYSEG_ISA {
namespace {

// ---- vectors: lanes of 128 bits -----------------------------------------------------------------

#if defined(__AVX512BW__)
#define V(op) _mm512_##op
using Raw = __m512i;
constexpr int kLanes = 4;
#elif defined(__AVX2__)
#define V(op) _mm256_##op
using Raw = __m256i;
constexpr int kLanes = 2;
#elif defined(__SSE2__)
#define V(op) _mm_##op
using Raw = __m128i;
constexpr int kLanes = 1;
#else
typedef int Raw __attribute__((vector_size(16)));
constexpr int kLanes = 1;
#endif
constexpr int kWidth = 4 * kLanes;   // floats in a vector
constexpr int kBlock = 16 * kLanes;  // bytes in a vector

typedef float Lane __attribute__((vector_size(16)));
typedef float Floats __attribute__((vector_size(16 * kLanes)));
typedef std::uint32_t Bits __attribute__((vector_size(16 * kLanes)));

struct Xyz {
  Floats x, y, z;
};

#if defined(__SSE2__)

// `b` where either is NaN.
inline Floats larger(Floats a, Floats b) { return V(max_ps)(a, b); }

// The high halves of the products of 16 bits.
inline Bits times16(Bits a, int k) {
  return reinterpret_cast<Bits>(V(mulhi_epu16)(reinterpret_cast<Raw>(a), V(set1_epi16)(static_cast<short>(k))));
}

// Four pixels of each lane, (X, Y, Z, -) each, to one vector per component.
inline Xyz turn(Floats a, Floats b, Floats c, Floats d) {
  const Floats xy_ab = V(unpacklo_ps)(a, b), xy_cd = V(unpacklo_ps)(c, d);
  const Floats z_ab = V(unpackhi_ps)(a, b), z_cd = V(unpackhi_ps)(c, d);
  return {V(shuffle_ps)(xy_ab, xy_cd, 0x44), V(shuffle_ps)(xy_ab, xy_cd, 0xee), V(shuffle_ps)(z_ab, z_cd, 0x44)};
}

// To the nearest integer.
inline Raw rounded(Floats v) { return V(cvtps_epi32)(v); }

// v + offset, clamped to 0..255. A lane takes its 16 bytes from the four vectors in turn.
inline void store(const Raw (&v)[4], short offset, std::uint8_t* out) {
  const Raw low = V(add_epi16)(V(packs_epi32)(v[0], v[1]), V(set1_epi16)(offset));
  const Raw high = V(add_epi16)(V(packs_epi32)(v[2], v[3]), V(set1_epi16)(offset));
  const Raw bytes = V(packus_epi16)(low, high);
  std::memcpy(out, &bytes, sizeof bytes);
}

#else

inline Floats larger(Floats a, Floats b) {
  for (int i = 0; i < kWidth; ++i) b[i] = a[i] > b[i] ? a[i] : b[i];
  return b;
}

inline Bits times16(Bits a, int k) {
  const auto by = static_cast<std::uint32_t>(k);
  return (((a >> 16) * by) & 0xffff0000u) | (((a & 0xffffu) * by) >> 16);
}

inline Xyz turn(Floats a, Floats b, Floats c, Floats d) {
  return {Floats{a[0], b[0], c[0], d[0]}, Floats{a[1], b[1], c[1], d[1]}, Floats{a[2], b[2], c[2], d[2]}};
}

inline Raw rounded(Floats v) {
  Raw out{};
  for (int i = 0; i < kWidth; ++i) out[i] = static_cast<int>(std::lrint(v[i]));
  return out;
}

inline void store(const Raw (&v)[4], short offset, std::uint8_t* out) {
  for (int i = 0; i < kBlock; ++i) {
    const int byte = v[i / 4][i % 4] + offset;
    out[i] = static_cast<std::uint8_t>(byte < 0 ? 0 : byte < 255 ? byte : 255);
  }
}

#endif

// lane(0), lane(1), ... side by side.
template <typename Get>
inline Floats join(const Get& lane) {
#if defined(__AVX512BW__)
  const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(lane(0)), lane(1), 1);
  const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(lane(2)), lane(3), 1);
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#elif defined(__AVX2__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(lane(0)), lane(1), 1);
#else
  return lane(0);
#endif
}

// ---- the curve ----------------------------------------------------------------------------------

// XYZ over the D65 white, from linear RGB.
constexpr float kX[3] = {0.43395633f, 0.37621531f, 0.18984309f};
constexpr float kY[3] = {0.2126729f, 0.7151522f, 0.072175f};
constexpr float kZ[3] = {0.01775782f, 0.1094756f, 0.87283638f};
constexpr float kKnee = 0.008856452f, kSlope = 7.787037f;

// x^(-1/n) times a constant, to 3 %: the exponent over -n, and the mantissa nearly goes along. share = 65536 / n.
inline Floats inverse_root(Floats x, int share, std::uint32_t origin) {
  return reinterpret_cast<Floats>(origin - times16(reinterpret_cast<Bits>(x), share));
}
inline Floats inverse_cube_root(Floats x) { return inverse_root(x, 21845, 1418634015u); }
inline Floats inverse_fifth_root(Floats x) { return inverse_root(x, 13107, 1279685427u); }

// For bytes X, Y, Z are scaled so that the polynomial leads with -1 and the tangent with 1, and f comes out scaled.
constexpr double kScale = 12.106555439432181, kUnscale = 0.6432083077600168, kUnit = kScale / 65535;

inline Floats byte_f(Floats t) {
  const Floats m = larger(t, Floats{} + static_cast<float>(kKnee * kScale)), y = inverse_cube_root(m);
  const Floats s = m * (y * y), h = s * y;
  return s * (((3.0650891f - h) * h - 3.6391465f) * h + 2.2473464f) + (t - m);
}

inline Floats float_f(Floats t) {
  const Floats m = larger(t, Floats{} + kKnee), y = inverse_cube_root(m), s = m * (y * y), h = s * y;
  const Floats p = (((1.8251189f * h - 6.9045935f) * h + 10.5717478f) * h - 8.3628082f) * h + 3.8723083f;
  return s * p + (t - m) * kSlope;
}

// ((c + 0.055) / 1.055)^2.4, or c / 12.92 near black.
inline Floats linear(Floats c) {
  const Floats u = larger((c + 0.055f) * (1.0f / 1.055f), Floats{} + 0.09f), y = inverse_fifth_root(u);
  const Floats w = u * y, y2 = y * y, h = w * (y2 * y2);
  const Floats p = (((0.0090877032f * h - 0.10447092f) * h + 0.48742425f) * h - 1.1847429f) * h + 1.7699062f;
  return c > 0.04045f ? w * w * w * p : c * (1.0f / 12.92f);
}

// ---- bytes --------------------------------------------------------------------------------------

// What each byte of red, green and blue adds to (X, Y, Z, -).
struct Shares {
  Lane of[3][256];
};

constexpr Shares make_shares() {
  Shares shares{};
  for (int c = 0; c < 3; ++c) {
    const auto x = static_cast<float>(kX[c] * kUnit), y = static_cast<float>(kY[c] * kUnit),
               z = static_cast<float>(kZ[c] * kUnit);
    for (int i = 0; i < 256; ++i) {
      const auto light = static_cast<float>(kLinear16[i]);
      shares.of[c][i] = Lane{light * x, light * y, light * z, 0.0f};
    }
  }
  return shares;
}

constexpr Shares kShares = make_shares();

struct Pixels {
  const std::uint8_t *r, *g, *b;
  std::int64_t step;
};

struct Planes {
  std::uint8_t *l, *a, *b;
};

inline Lane xyz_of(const Pixels& in, std::int64_t i) {
  const std::int64_t at = i * in.step;
  return kShares.of[0][in.r[at]] + kShares.of[1][in.g[at]] + kShares.of[2][in.b[at]];
}

// Of each lane's 16 pixels the four from `i` on.
[[gnu::always_inline]] inline Xyz load(const Pixels& in, std::int64_t i) {
  const auto pixel = [&](int k) { return join([&](int lane) { return xyz_of(in, i + k + 16 * lane); }); };
  return turn(pixel(0), pixel(1), pixel(2), pixel(3));
}

// `count`: a multiple of kBlock. The look-ups of the next vector come before the arithmetic of this one, which does not
// wait for them: the processor's window holds both.
[[gnu::noinline]] void blocks(const Pixels& in, std::int64_t count, const Planes& out) {
  Xyz now = load(in, 0);
  for (std::int64_t at = 0; at < count; at += kBlock) {
    const std::int64_t after = at + kBlock < count ? at + kBlock : at;
    Raw l[4], a[4], b[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Xyz next = load(in, i < 3 ? at + 4 * (i + 1) : after);
      const Floats fx = byte_f(now.x), fy = byte_f(now.y), fz = byte_f(now.z);
      l[i] = rounded(fy * static_cast<float>(232 * kUnscale));
      a[i] = rounded((fx - fy) * static_cast<float>(1000 * kUnscale));
      b[i] = rounded((fy - fz) * static_cast<float>(400 * kUnscale));
      now = next;
    }
    store(l, -32, out.l + at);
    store(a, 128, out.a + at);
    store(b, 128, out.b + at);
  }
}

// Less than a block, by way of a whole one: nothing beyond the row is read or written.
void rest(const Pixels& in, std::int64_t count, const Planes& out) {
  std::uint8_t pixels[kBlock][3]{}, lab[3][kBlock];
  for (std::int64_t i = 0; i < count; ++i) {
    pixels[i][0] = in.r[i * in.step];
    pixels[i][1] = in.g[i * in.step];
    pixels[i][2] = in.b[i * in.step];
  }
  blocks({pixels[0], pixels[0] + 1, pixels[0] + 2, 3}, kBlock, {lab[0], lab[1], lab[2]});
  std::memcpy(out.l, lab[0], static_cast<std::size_t>(count));
  std::memcpy(out.a, lab[1], static_cast<std::size_t>(count));
  std::memcpy(out.b, lab[2], static_cast<std::size_t>(count));
}

void bytes(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b, std::int64_t step, std::int64_t count,
           std::uint8_t* out_l, std::uint8_t* out_a, std::uint8_t* out_b) {
  const std::int64_t whole = count / kBlock * kBlock, at = whole * step;
  if (whole > 0) blocks({r, g, b, step}, whole, {out_l, out_a, out_b});
  if (whole < count) rest({r + at, g + at, b + at, step}, count - whole, {out_l + whole, out_a + whole, out_b + whole});
}

// ---- floats -------------------------------------------------------------------------------------

inline void float_lab(float* r, float* g, float* b, std::size_t size) {
  Floats red{}, green{}, blue{};
  std::memcpy(&red, r, size);
  std::memcpy(&green, g, size);
  std::memcpy(&blue, b, size);
  red = linear(red), green = linear(green), blue = linear(blue);
  const Floats fx = float_f(red * kX[0] + green * kX[1] + blue * kX[2]);
  const Floats fy = float_f(red * kY[0] + green * kY[1] + blue * kY[2]);
  const Floats fz = float_f(red * kZ[0] + green * kZ[1] + blue * kZ[2]);
  red = fy * 116.0f - 16.0f, green = (fx - fy) * 500.0f, blue = (fy - fz) * 200.0f;
  std::memcpy(r, &red, size);
  std::memcpy(g, &green, size);
  std::memcpy(b, &blue, size);
}

void floats(float* r, float* g, float* b, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) float_lab(r + i, g + i, b + i, sizeof(Floats));
  if (i < count) float_lab(r + i, g + i, b + i, static_cast<std::size_t>(count - i) * sizeof(float));
}

}  // namespace

const Kernels* kernels() {
  static constexpr Kernels table{bytes, floats};
  return &table;
}

}  // namespace pyseg::lab::PYSEG_ISA
