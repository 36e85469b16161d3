// Transforms of the pieces (axis.h), along one axis at a time, on rows of channels: a two-dimensional piece applies one
// to its columns and one to its rows. They are a tenth of the products' work; bound by loads and stores of the first
// level.
#include "atrous_conv/axis.h"
#include "atrous_conv/kernels.h"
#include "core/vectors.h"

namespace pyseg::atrous_conv::PYSEG_ISA {
namespace {

constexpr int kLanes = kVectorBytes / 4;

// What the products of a piece multiply, from its inputs. F(4,3)'s rows are divided by the constants that its weights
// lack beside F(2,3)'s.
struct Inputs {
  static inline __attribute__((always_inline)) void pair(const Floats* d, Floats* v) {
    v[0] = d[0] + d[1];
    v[1] = d[1];
    v[2] = d[0];
  }
  static inline __attribute__((always_inline)) void triple(const Floats* d, Floats* v) {
    v[0] = d[0] + d[1];
    v[1] = d[1];
    v[2] = d[0];
    v[3] = d[2];
    v[4] = d[1];
    v[5] = d[2];
  }
  static inline __attribute__((always_inline)) void f2(const Floats* d, Floats* v) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  }
  static inline __attribute__((always_inline)) void f4(const Floats* d, Floats* v) {
    v[0] = multiply_add(splat(0.25f), d[4], multiply_add(splat(-1.25f), d[2], d[0]));
    const Floats even = multiply_add(splat(-4.0f), d[2], d[4]), odd = multiply_add(splat(-4.0f), d[1], d[3]);
    v[1] = (even + odd) * splat(-1.0f / 3);
    v[2] = (even - odd) * splat(-1.0f / 3);
    const Floats outer = d[4] - d[2], twice = splat(2.0f) * (d[3] - d[1]);
    v[3] = outer + twice;
    v[4] = outer - twice;
    v[5] = multiply_add(splat(4.0f), d[1], multiply_add(splat(-5.0f), d[3], d[5]));
  }
};

struct Outputs {
  template <int Count>
  static inline __attribute__((always_inline)) void sum(const Floats* p, Floats* y) {
    y[0] = Count == 0 ? Floats{} : p[0];
    for (int i = 1; i < Count; ++i) y[0] += p[i];
  }
  static inline __attribute__((always_inline)) void pair(const Floats* p, Floats* y) {
    y[0] = p[0] + p[1];
    y[1] = p[0] + p[2];
  }
  static inline __attribute__((always_inline)) void triple(const Floats* p, Floats* y) {
    y[0] = p[0] + p[1];
    y[1] = (p[0] + p[2]) + p[3];
    y[2] = p[4] + p[5];
  }
  static inline __attribute__((always_inline)) void f2(const Floats* p, Floats* y) {
    y[0] = p[0] + p[1] + p[2];
    y[1] = p[1] - p[2] - p[3];
  }
  static inline __attribute__((always_inline)) void f4(const Floats* p, Floats* y) {
    const Floats sum = p[1] + p[2], difference = p[1] - p[2], far = p[3] + p[4], near = p[3] - p[4];
    y[0] = p[0] + sum + far;
    y[1] = multiply_add(splat(2.0f), near, difference);
    y[2] = multiply_add(splat(4.0f), far, sum);
    y[3] = multiply_add(splat(8.0f), near, difference) + p[5];
  }
};

struct Spread {  // F(4,3) is not for training
  static inline __attribute__((always_inline)) void pair(const Floats* y, Floats* p) {
    p[0] = y[0] + y[1];
    p[1] = y[0];
    p[2] = y[1];
  }
  static inline __attribute__((always_inline)) void triple(const Floats* y, Floats* p) {
    p[0] = y[0] + y[1];
    p[1] = y[0];
    p[2] = y[1];
    p[3] = y[1];
    p[4] = y[2];
    p[5] = y[2];
  }
  static inline __attribute__((always_inline)) void f2(const Floats* y, Floats* p) {
    p[0] = y[0];
    p[1] = y[0] + y[1];
    p[2] = y[0] - y[1];
    p[3] = -y[1];
  }
};

inline void finish(Floats* rows, int count, const gemm::Epilogue& e, int c, int channels) {
  const auto bytes = static_cast<std::size_t>(channels) * 4;
  Floats scale = splat(1.0f), shift = {};
  if (e.scale != nullptr) std::memcpy(&scale, e.scale + c, bytes);
  if (e.shift != nullptr) std::memcpy(&shift, e.shift + c, bytes);
  for (int i = 0; i < count; ++i) {
    if (e.scale != nullptr || e.shift != nullptr) rows[i] = multiply_add(rows[i], scale, shift);
    if (e.relu) rows[i] = rows[i] < 0.0f ? Floats{} : rows[i];  // NaN stays
  }
}

using Formula = void (*)(const Floats* in, Floats* out);

// Rows of channels: In rows to Out rows. (The formula is part of the type, so that it is inlined.)
template <int In, int Out, Formula Apply>
inline void rows(const float* const* in, float* const* out, int channels, const gemm::Epilogue* epilogue = nullptr) {
  Floats from[In == 0 ? 1 : In], to[Out];
  int c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < In; ++i) from[i] = load<Floats>(in[i] + c);
    Apply(from, to);
    if (epilogue != nullptr) finish(to, Out, *epilogue, c, kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < Out; ++i) store(out[i] + c, to[i]);
  }
  if (c == channels) return;
  const auto rest = static_cast<std::size_t>(channels - c) * 4;
  for (int i = 0; i < In; ++i) {
    from[i] = Floats{};
    std::memcpy(&from[i], in[i] + c, rest);
  }
  Apply(from, to);
  if (epilogue != nullptr) finish(to, Out, *epilogue, c, channels - c);
  for (int i = 0; i < Out; ++i) std::memcpy(out[i] + c, &to[i], rest);
}

// Along the columns and along the rows of a square.
template <int In, int Out, Formula Apply>
inline void both(const Floats* from, Floats* to) {
  Floats middle[Out][In];
#pragma GCC unroll 6
  for (int j = 0; j < In; ++j) {
    Floats column[In], result[Out];
#pragma GCC unroll 6
    for (int i = 0; i < In; ++i) column[i] = from[i * In + j];
    Apply(column, result);
#pragma GCC unroll 6
    for (int i = 0; i < Out; ++i) middle[i][j] = result[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < Out; ++i) Apply(middle[i], to + i * Out);
}

inline void copy(const float* in, float* out, int channels) {
  std::memcpy(out, in, static_cast<std::size_t>(channels) * 4);
}

void inputs(PieceKind kind, unsigned taps, const float* const* in, float* const* out, int channels) {
  switch (kind) {
    case PieceKind::single:
      for (int k = 0, p = 0; k < 3; ++k)
        if (taps >> k & 1) copy(in[k], out[p++], channels);
      return;
    case PieceKind::pair:
      return rows<2, 3, Inputs::pair>(in, out, channels);
    case PieceKind::triple:
      return rows<3, 6, Inputs::triple>(in, out, channels);
    case PieceKind::f2:
      return rows<4, 4, Inputs::f2>(in, out, channels);
    case PieceKind::f4:
      return rows<6, 6, Inputs::f4>(in, out, channels);
  }
}

void outputs(PieceKind kind, unsigned taps, const float* const* in, float* const* out, int channels,
             const gemm::Epilogue* epilogue) {
  switch (kind) {
    case PieceKind::single: {
      switch (__builtin_popcount(taps)) {
        case 0:
          return rows<0, 1, Outputs::sum<0>>(in, out, channels, epilogue);
        case 1:
          return rows<1, 1, Outputs::sum<1>>(in, out, channels, epilogue);
        case 2:
          return rows<2, 1, Outputs::sum<2>>(in, out, channels, epilogue);
        default:
          return rows<3, 1, Outputs::sum<3>>(in, out, channels, epilogue);
      }
    }
    case PieceKind::pair:
      return rows<3, 2, Outputs::pair>(in, out, channels, epilogue);
    case PieceKind::triple:
      return rows<6, 3, Outputs::triple>(in, out, channels, epilogue);
    case PieceKind::f2:
      return rows<4, 2, Outputs::f2>(in, out, channels, epilogue);
    case PieceKind::f4:
      return rows<6, 4, Outputs::f4>(in, out, channels, epilogue);
  }
}

void spread(PieceKind kind, unsigned taps, const float* const* in, float* const* out, int channels) {
  switch (kind) {
    case PieceKind::single:
      for (int k = 0, p = 0; k < 3; ++k)
        if (taps >> k & 1) copy(in[0], out[p++], channels);
      return;
    case PieceKind::pair:
      return rows<2, 3, Spread::pair>(in, out, channels);
    case PieceKind::triple:
      return rows<3, 6, Spread::triple>(in, out, channels);
    default:
      return rows<2, 4, Spread::f2>(in, out, channels);
  }
}

bool squares(PieceKind kind) { return kind == PieceKind::f2 || kind == PieceKind::pair; }

void square_inputs(PieceKind kind, const float* const* in, float* const* out, int channels) {
  if (kind == PieceKind::f2) rows<16, 16, both<4, 4, Inputs::f2>>(in, out, channels);
  else rows<4, 9, both<2, 3, Inputs::pair>>(in, out, channels);
}

void square_outputs(PieceKind kind, const float* const* in, float* const* out, int channels,
                    const gemm::Epilogue* epilogue) {
  if (kind == PieceKind::f2) rows<16, 4, both<4, 2, Outputs::f2>>(in, out, channels, epilogue);
  else rows<9, 4, both<3, 2, Outputs::pair>>(in, out, channels, epilogue);
}

void gather(const float* combinations, std::int64_t step, const std::uint8_t* y, int y_count, const std::uint8_t* x,
            int x_count, int count, float* taps) {
  for (int n = 0; n < count; n += kLanes) {
    Floats sum[3][3] = {};
    for (int i = 0; i < y_count; ++i) {
      Floats row[3] = {};
      for (int j = 0; j < x_count; ++j) {
        const Floats value = load<Floats>(combinations + (i * x_count + j) * step + n);
        for (int b = 0; b < 3; ++b)
          row[b] = multiply_add(splat(static_cast<float>(kWeightRows[x[j]][b])), value, row[b]);
      }
      for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b)
          sum[a][b] = multiply_add(splat(static_cast<float>(kWeightRows[y[i]][a])), row[b], sum[a][b]);
    }
    for (int t = 0; t < 9; ++t) store(taps + t * kTapColumns + n, sum[t / 3][t % 3]);
  }
}

// In double precision: the rounding of a weight is the only one.
void weights(const double* taps, int count, const std::uint8_t* y, int y_count, const std::uint8_t* x, int x_count,
             float* const* out) {
  double row[3][kTapColumns];
  for (int i = 0; i < y_count; ++i) {
    const double c0 = kWeightRows[y[i]][0], c1 = kWeightRows[y[i]][1], c2 = kWeightRows[y[i]][2];
    for (int b = 0; b < 3; ++b)
      for (int n = 0; n < count; ++n)
        row[b][n] = c0 * taps[b * kTapColumns + n] + c1 * taps[(3 + b) * kTapColumns + n] +
                    c2 * taps[(6 + b) * kTapColumns + n];
    for (int j = 0; j < x_count; ++j) {
      const double d0 = kWeightRows[x[j]][0], d1 = kWeightRows[x[j]][1], d2 = kWeightRows[x[j]][2];
      float* to = out[i * x_count + j];
      for (int n = 0; n < count; ++n) to[n] = static_cast<float>(d0 * row[0][n] + d1 * row[1][n] + d2 * row[2][n]);
    }
  }
}

constexpr TransformKernels kKernels = {&inputs,         &outputs, &squares, &square_inputs,
                                       &square_outputs, &spread,  &gather,  &weights};

}  // namespace

const TransformKernels* transform_kernels() { return &kKernels; }

}  // namespace pyseg::atrous_conv::PYSEG_ISA
