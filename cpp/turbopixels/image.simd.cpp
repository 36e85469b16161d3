// The inner loops over the image, compiled once per instruction set; see affinity.h.
#include "turbopixels/affinity.h"
#include "turbopixels/floats.h"

namespace pyseg::turbopixels::PYSEG_ISA {
namespace {

bool levels(float* line, std::int64_t width) {
  constexpr float kLimit = 0x1p20f;  // beyond it squares of squares would overflow
  std::uint32_t most = 0;            // bits of magnitudes order as they do, with infinity and NaN above
  for (std::int64_t x = 0; x < width; ++x) {
    std::uint32_t bits;
    std::memcpy(&bits, line + x, 4);
    bits &= 0x7FFFFFFFu;
    most = bits > most ? bits : most;
    const float v = line[x] * 255.0f;
    const float low = v < kLimit ? v : kLimit;
    line[x] = low > -kLimit ? low : -kLimit;
  }
  return most < 0x7F800000u;
}

void soften(const float* above, const float* at, const float* below, std::int64_t width, float* out) {
  const Rows rows{above, at, below};
  for (std::int64_t x = 0; x < width; x += kLanes) {
    const Slopes s = slopes(rows, x);
    const Floats steep = (s.x * s.x + s.y * s.y) + 1e-12f;
    store(out + x, load<Floats>(at + x) + 0.1f * (bend(rows, x, s) / steep));
  }
}

void add_slopes(const float* above, const float* at, const float* below, std::int64_t width, float* total) {
  for (std::int64_t x = 0; x < width; x += kLanes) {
    const Slopes s = slopes({above, at, below}, x);
    store(total + x, load<Floats>(total + x) + (s.x * s.x + s.y * s.y));
  }
}

void roots(float* values, std::int64_t width, float factor) {
  for (std::int64_t x = 0; x < width; x += kLanes) store(values + x, root(load<Floats>(values + x) * factor));
}

// e^-v: the whole part of v / log 2 goes to the exponent, 2^-fraction is a polynomial.
inline Floats decay(Floats v) {
  const Floats t = least(v * 1.4426950408889634f, splat(126.0f));
  const Ints whole = __builtin_convertvector(t, Ints);
  const Floats f = t - __builtin_convertvector(whole, Floats);
  Floats p = -0.000944904343f * f + 0.00920579955f;
  p = p * f + -0.0552973598f;
  p = p * f + 0.24018015f;
  p = p * f + -0.693143725f;
  p = p * f + 1.0f;
  return p * of_bits((127 - whole) << 23);
}

void affinity(const float* magnitude, const float* mean, std::int64_t width, float scale, float gamma, float inverse_nu,
              float* out) {
  for (std::int64_t x = 0; x < width; x += kLanes) {
    const Floats energy = load<Floats>(magnitude + x) / (scale * load<Floats>(mean + x) + gamma);
    store(out + x, decay(energy * inverse_nu));
  }
}

}  // namespace

const ImageKernels* image_kernels() {
  static constexpr ImageKernels kernels{levels, soften, add_slopes, roots, affinity};
  return &kernels;
}

}  // namespace pyseg::turbopixels::PYSEG_ISA
