// The inner loops of SLIC's float path, compiled once per instruction set; see planes.h.
//
// What bounds it: about 14 vector operations per candidate and vector of pixels for three channels. A row's best
// distance and its place stay in registers while the candidates go by; a candidate's column terms are made once per
// tile.
#include "slic/planes.h"

#include <cstring>

#include "core/vectors.h"
#include "core/view.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace pyseg::slic::PYSEG_ISA {
namespace {

constexpr int kLanes = kVectorBytes / 4;

inline Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7FFFFFFF); }

// The same four values over and over; not by way of memory, which would stall on the wide load after narrow stores.
inline Floats repeat4(const float* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_broadcast_f32x4(_mm_loadu_ps(p)));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)));
#else
  return load<Floats>(p);
#endif
}

struct Near {
  const PlaneCandidate* candidates[255];
  alignas(64) float dx[255][kSide];
  int count;
};

template <int Channels>  // 0: any
void nearest(const float* tile, std::int64_t channels, const Near& near, int block, std::uint8_t* place) {
  const std::int64_t n = Channels == 0 ? channels : Channels;
  for (int i = 64 * block; i < 64 * block + 64; i += kLanes) {
    constexpr int kHeld = Channels == 0 ? 1 : Channels;  // in registers
    Floats pixel[kHeld];
    for (int j = 0; j < kHeld; ++j) pixel[j] = load<Floats>(tile + j * kArea + i);
    const int row = i & 0xF0, x = i & 15;
    Floats best = Floats{} + __builtin_inff();
    Ints at{};
    for (int k = 0; k < near.count; ++k) {
      const PlaneCandidate& c = *near.candidates[k];
      Floats color = magnitude(pixel[0] - c.color[0]);
      for (int j = 1; j < kHeld; ++j) color += magnitude(pixel[j] - c.color[j]);
      for (std::int64_t j = kHeld; j < n; ++j) color += magnitude(load<Floats>(tile + j * kArea + i) - c.color[j]);
      const Floats distance = color * c.weight + (repeat4(c.dzy + row / 4) + load<Floats>(near.dx[k] + x));
      const Ints nearer = distance < best;
      best = nearer ? distance : best;
      at = nearer ? Ints{} + k : at;
    }
    for (int lane = 0; lane < kLanes; ++lane) place[i + lane] = static_cast<std::uint8_t>(at[lane]);
  }
}

void assign(const float* tile, std::int64_t channels, const PlaneCandidate* candidates, const std::int32_t* list,
            int count, float x0, float weight_x, int block, std::uint8_t* place) {
  Near near;
  near.count = count;
  for (int i = 0; i < count; ++i) {
    near.candidates[i] = candidates + list[i];
    for (int x = 0; x < kSide; ++x) {
      const float d = x0 + static_cast<float>(x) - near.candidates[i]->x;
      near.dx[i][x] = (d < 0 ? -d : d) * weight_x;
    }
  }
  for (int b = block < 0 ? 0 : block; b < (block < 0 ? 4 : block + 1); ++b) switch (channels) {
      case 1:
        nearest<1>(tile, 1, near, b, place);
        break;
      case 2:
        nearest<2>(tile, 2, near, b, place);
        break;
      case 3:
        nearest<3>(tile, 3, near, b, place);
        break;
      case 4:
        nearest<4>(tile, 4, near, b, place);
        break;
      case 5:
        nearest<5>(tile, 5, near, b, place);
        break;
      case 6:
        nearest<6>(tile, 6, near, b, place);
        break;
      default:
        nearest<0>(tile, channels, near, b, place);
    }
}

template <typename Get>
inline void each(std::int64_t count, float* out, Get get) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = get(i);
}

void convert(const std::byte* in, int dtype, std::int64_t step, std::int64_t count, float* out) {
  switch (static_cast<DType>(dtype)) {
    case DType::u8:
      return each(count, out, [&](std::int64_t i) {
        return static_cast<float>(load<std::uint8_t>(in + i * step)) * (1.0f / 255.0f);
      });
    case DType::u16:
      return each(count, out, [&](std::int64_t i) {
        return static_cast<float>(load<std::uint16_t>(in + i * step)) * (1.0f / 65535.0f);
      });
    case DType::f16:
      return each(count, out, [&](std::int64_t i) { return widen_half(load<std::uint16_t>(in + i * step)); });
    case DType::f32:
      return each(count, out, [&](std::int64_t i) { return load<float>(in + i * step); });
    case DType::f64:
      return each(count, out, [&](std::int64_t i) { return static_cast<float>(load<double>(in + i * step)); });
  }
}

void blend(const float* const* rows, const float* kernel, int taps, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = rows[0][i] * kernel[0];
  for (int j = 1; j < taps; ++j)
    for (std::int64_t i = 0; i < count; ++i) out[i] += rows[j][i] * kernel[j];
}

float scale(float* values, std::int64_t count, float factor) {
  std::uint32_t most = 0;  // bits of magnitudes order as they do, with infinity and NaN above
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] *= factor;
    std::uint32_t bits;
    std::memcpy(&bits, values + i, 4);
    bits &= 0x7FFFFFFFu;
    most = bits > most ? bits : most;
  }
  float v;
  std::memcpy(&v, &most, 4);
  return v;
}

}  // namespace

const PlaneKernels* plane_kernels() {
  static constexpr PlaneKernels kernels{assign, convert, blend, scale};
  return &kernels;
}

}  // namespace pyseg::slic::PYSEG_ISA
