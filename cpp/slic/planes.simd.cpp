// The inner loops of SLIC's float path, compiled once per instruction set; see planes.h.
//
// What bounds it: about 14 vector operations per candidate and vector of pixels for three channels. A row's best
// distance and its place stay in registers while the candidates go by; a candidate's column terms are made once per
// tile.
#include "slic/planes.h"

#include <cstring>

#include "core/view.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace pyseg::slic::PYSEG_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Ints = int __attribute__((vector_size(4 * kLanes)));

inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7FFFFFFF); }

// Lanes 0, 4, 8, ... of a, 1, 5, 9, ... of b, and so on.
inline Floats every_fourth(Floats a, Floats b, Floats c, Floats d) {
  Ints lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i & 3;
  const Floats ab = lane == 0 ? a : b, cd = lane == 2 ? c : d;
  return lane < 2 ? ab : cd;
}

// The same four values over and over; not by way of memory, which would stall on the wide load after narrow stores.
inline Floats repeat4(const float* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_broadcast_f32x4(_mm_loadu_ps(p)));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)));
#else
  return load(p);
#endif
}

struct Near {
  const PlaneCandidate* candidates[255];
  alignas(64) float dx[255][kSide];
  int count;
};

// Pixels x .. x + kLanes of row r; of virtual row r where sampled.
template <bool Sampled>
inline Floats pixels(const float* plane, int r, int x, int phase) {
  if constexpr (!Sampled) return load(plane + r * kSide + x);
  const float* group = plane + 4 * r * kSide + x;
  const auto row = [&](int q) { return load(group + ((phase + q) & 3) * kSide); };
  return every_fourth(row(0), row(1), row(2), row(3));
}

template <int Channels, bool Sampled>  // Channels 0: any
void nearest(const float* tile, std::int64_t channels, const Near& near, int phase, std::uint8_t* place) {
  const std::int64_t n = Channels == 0 ? channels : Channels;
  for (int r = 0; r < (Sampled ? kSide / 4 : kSide); ++r)
    for (int x = 0; x < kSide; x += kLanes) {
      constexpr int kHeld = Channels == 0 ? 32 : Channels;  // gathered once for all candidates
      const std::int64_t held = n < kHeld ? n : kHeld;
      Floats pixel[kHeld];
      for (std::int64_t j = 0; j < held; ++j) pixel[j] = pixels<Sampled>(tile + j * kArea, r, x, phase);
      Floats best = Floats{} + __builtin_inff();
      Ints at{};
      for (int i = 0; i < near.count; ++i) {
        const PlaneCandidate& c = *near.candidates[i];
        Floats color = magnitude(pixel[0] - c.color[0]);
        for (std::int64_t j = 1; j < held; ++j) color += magnitude(pixel[j] - c.color[j]);
        for (std::int64_t j = held; j < n; ++j)
          color += magnitude(pixels<Sampled>(tile + j * kArea, r, x, phase) - c.color[j]);
        const Floats dzy = Sampled ? repeat4(c.dzy + 4 * r) : Floats{} + c.dzy[r];
        const Floats distance = color * c.weight + (dzy + load(near.dx[i] + x));
        const Ints nearer = distance < best;
        best = nearer ? distance : best;
        at = nearer ? Ints{} + i : at;
      }
      for (int lane = 0; lane < kLanes; ++lane) place[r * kSide + x + lane] = static_cast<std::uint8_t>(at[lane]);
    }
}

template <int Channels>
void nearest(const float* tile, std::int64_t channels, const Near& near, int phase, std::uint8_t* place) {
  if (phase < 0) nearest<Channels, false>(tile, channels, near, 0, place);
  else nearest<Channels, true>(tile, channels, near, phase, place);
}

void assign(const float* tile, std::int64_t channels, const PlaneCandidate* candidates, const std::int32_t* list,
            int count, float x0, float weight_x, int phase, std::uint8_t* place) {
  Near near;
  near.count = count;
  for (int i = 0; i < count; ++i) {
    near.candidates[i] = candidates + list[i];
    for (int x = 0; x < kSide; ++x) {
      const float d = x0 + static_cast<float>(x) - near.candidates[i]->x;
      near.dx[i][x] = (d < 0 ? -d : d) * weight_x;
    }
  }
  if (channels == 3) nearest<3>(tile, 3, near, phase, place);
  else if (channels == 1) nearest<1>(tile, 1, near, phase, place);
  else nearest<0>(tile, channels, near, phase, place);
}

template <typename T>
inline T read(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline float half(std::uint16_t h) {
  const std::uint32_t bits = (h & 0x7FFFu) << 13;
  float v;
  std::memcpy(&v, &bits, 4);
  v *= 0x1p112f;  // rebias the exponent; subnormals come out right
  std::uint32_t whole;
  std::memcpy(&whole, &v, 4);
  whole |= (h & 0x7C00u) == 0x7C00u ? 0x7F800000u : 0u;
  whole |= (h & 0x8000u) << 16;
  std::memcpy(&v, &whole, 4);
  return v;
}

template <typename Get>
inline void each(std::int64_t count, float* out, Get get) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = get(i);
}

void convert(const std::byte* in, int dtype, std::int64_t step, std::int64_t count, float* out) {
  switch (static_cast<DType>(dtype)) {
    case DType::u8:
      return each(count, out, [&](std::int64_t i) {
        return static_cast<float>(read<std::uint8_t>(in + i * step)) * (1.0f / 255.0f);
      });
    case DType::u16:
      return each(count, out, [&](std::int64_t i) {
        return static_cast<float>(read<std::uint16_t>(in + i * step)) * (1.0f / 65535.0f);
      });
    case DType::f16:
      return each(count, out, [&](std::int64_t i) { return half(read<std::uint16_t>(in + i * step)); });
    case DType::f32:
      return each(count, out, [&](std::int64_t i) { return read<float>(in + i * step); });
    case DType::f64:
      return each(count, out, [&](std::int64_t i) { return static_cast<float>(read<double>(in + i * step)); });
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
