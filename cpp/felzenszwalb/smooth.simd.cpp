// The inner loops of smoothing and of the weights, compiled once per instruction set; see smooth.h.
#include "felzenszwalb/smooth.h"

#include <cmath>
#include <cstring>

#include "core/vectors.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace pyseg::felzenszwalb::PYSEG_ISA {
namespace {

constexpr int kWide = kVectorBytes / 8;

inline Doubles root(Doubles v) {
#if defined(__AVX512F__)
  return _mm512_sqrt_pd(v);
#elif defined(__AVX2__)
  return _mm256_sqrt_pd(v);
#else
  for (int i = 0; i < kWide; ++i) v[i] = __builtin_sqrt(v[i]);
  return v;
#endif
}

template <typename Get>
inline void each(std::int64_t count, double* out, Get get) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = get(i);
}

std::uint64_t largest(const double* values, std::int64_t count) {
  std::uint64_t most = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint64_t bits;
    std::memcpy(&bits, values + i, 8);
    bits &= ~std::uint64_t{0} >> 1;
    most = bits > most ? bits : most;
  }
  return most;
}

std::uint64_t convert(const std::byte* in, int dtype, std::int64_t step, std::int64_t count, double* out) {
  switch (static_cast<DType>(dtype)) {
    case DType::u8:
      each(count, out, [&](std::int64_t i) { return load<std::uint8_t>(in + i * step) * (1.0 / 255.0); });
      return 0;
    case DType::u16:
      each(count, out, [&](std::int64_t i) { return load<std::uint16_t>(in + i * step) * (1.0 / 65535.0); });
      return 0;
    case DType::f16:
      each(count, out, [&](std::int64_t i) { return widen_half(load<std::uint16_t>(in + i * step)); });
      break;
    case DType::f32:
      each(count, out, [&](std::int64_t i) { return static_cast<double>(load<float>(in + i * step)); });
      break;
    case DType::f64:
      each(count, out, [&](std::int64_t i) { return load<double>(in + i * step); });
      break;
  }
  return largest(out, count);
}

void blend(const double* const* rows, const double* kernel, int radius, std::int64_t count, double* out) {
  const double* middle = rows[radius];
  std::int64_t i = 0;
  for (; i + 2 * kWide <= count; i += 2 * kWide) {
    Doubles a = load<Doubles>(middle + i) * kernel[0], b = load<Doubles>(middle + i + kWide) * kernel[0];
    for (int j = radius; j > 0; --j) {
      const double *before = rows[radius - j] + i, *after = rows[radius + j] + i;
      a += (load<Doubles>(before) + load<Doubles>(after)) * kernel[j];
      b += (load<Doubles>(before + kWide) + load<Doubles>(after + kWide)) * kernel[j];
    }
    store(out + i, a);
    store(out + i + kWide, b);
  }
  for (; i < count; ++i) {
    double a = middle[i] * kernel[0];
    for (int j = radius; j > 0; --j) a += (rows[radius - j][i] + rows[radius + j][i]) * kernel[j];
    out[i] = a;
  }
}

// Sums of squares of differences to the four neighbours, at `kWide` pixels.
struct Squares {
  Doubles v[4];
  void operator+=(const Squares& o) {
    for (int kind = 0; kind < 4; ++kind) v[kind] += o.v[kind];
  }
};

inline Squares squares(const double* top, const double* bottom) {
  const Doubles t = load<Doubles>(top), right = load<Doubles>(top + 1), b = load<Doubles>(bottom),
                below = load<Doubles>(bottom + 1);
  const Doubles d[4] = {right - t, b - t, below - t, b - right};
  return {{d[0] * d[0], d[1] * d[1], d[2] * d[2], d[3] * d[3]}};
}

// NumPy's pairwise summation over channels: one after the other up to 7; with 8 running sums up to 128; else in halves.
Squares sum(const double* top, const double* bottom, std::int64_t channels, std::int64_t stride) {
  const auto at = [&](std::int64_t c) { return squares(top + c * stride, bottom + c * stride); };
  if (channels > 128) {
    const std::int64_t n = channels / 2 - channels / 2 % 8;
    Squares s = sum(top, bottom, n, stride);
    s += sum(top + n * stride, bottom + n * stride, channels - n, stride);
    return s;
  }
  std::int64_t c = 1;
  Squares s = at(0);
  if (channels >= 8) {
    Squares part[8];
    for (c = 0; c < 8; ++c) part[c] = at(c);
    for (; c + 8 <= channels; c += 8)
      for (int j = 0; j < 8; ++j) part[j] += at(c + j);
    for (int step = 1; step < 8; step *= 2)
      for (int j = 0; j < 8; j += 2 * step) part[j] += part[j + step];
    s = part[0];
  }
  for (; c < channels; ++c) s += at(c);
  return s;
}

template <int Channels>  // 0: any
void weigh_row(const double* top, const double* bottom, std::int64_t channels, std::int64_t stride, int count,
               double* const* out) {
  for (int x = 0; x < count; x += kWide) {
    Squares s;
    if constexpr (Channels == 0) {
      s = sum(top + x, bottom + x, channels, stride);
    } else {
      s = squares(top + x, bottom + x);
      for (int c = 1; c < Channels; ++c) s += squares(top + c * stride + x, bottom + c * stride + x);
    }
    for (int kind = 0; kind < 4; ++kind) store(out[kind] + x, root(s.v[kind]));
  }
}

void weigh(const double* top, const double* bottom, std::int64_t channels, std::int64_t stride, int count,
           double* const* out) {
  if (channels == 1) weigh_row<1>(top, bottom, channels, stride, count, out);
  else if (channels == 3) weigh_row<3>(top, bottom, channels, stride, count, out);
  else weigh_row<0>(top, bottom, channels, stride, count, out);
}

void key(const double* weights, std::uint32_t first, std::uint32_t step, int count, std::uint64_t* items) {
  for (int i = 0; i < count; ++i) {
    const float weight = static_cast<float>(weights[i]);
    std::uint32_t bits;
    std::memcpy(&bits, &weight, 4);
    items[i] = static_cast<std::uint64_t>(bits) << 32 | (first + step * static_cast<std::uint32_t>(i));
  }
}

}  // namespace

const SmoothKernels* smooth_kernels() {
  static constexpr SmoothKernels kernels{convert, blend, weigh, key};
  return &kernels;
}

}  // namespace pyseg::felzenszwalb::PYSEG_ISA
