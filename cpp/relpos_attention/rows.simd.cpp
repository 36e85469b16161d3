// What happens to rows of scores between the products, and rows of tensors to and from floats. All rows are taken in
// chunks of 16 floats, and sums over a row are 16 sums that a fixed tree adds up: the same on every instruction set but
// for fused multiply-adds. A score costs about 16 operations in 16 lanes here beside 128 multiply-adds (d = 64) in the
// products.
#include <limits>

#include "core/vectors.h"
#include "relpos_attention/kernels.h"

namespace pyseg::relpos_attention::PYSEG_ISA {
namespace {

constexpr int kLanes = kVectorBytes / 4;
constexpr int kParts = kChunk / kLanes;
constexpr float kLog2E = 1.44269504088896341f;

struct Chunk {
  Floats part[kParts];
};

// f(part of the chunk) for each part.
#define PYSEG_PARTS _Pragma("GCC unroll 4") for (int part = 0; part < kParts; ++part)

[[gnu::always_inline]] inline Chunk load_chunk(const float* p) {
  Chunk c;
  PYSEG_PARTS c.part[part] = load<Floats>(p + part * kLanes);
  return c;
}

[[gnu::always_inline]] inline void store_chunk(float* p, const Chunk& c) {
  PYSEG_PARTS store(p + part * kLanes, c.part[part]);
}

using Four = float __attribute__((vector_size(16)));

// f of all 16, in a fixed tree.
template <typename F>
[[gnu::always_inline]] inline float fold(const Chunk& c, F f) {
  using Index = std::int32_t __attribute__((vector_size(16)));
  alignas(64) float values[kChunk];
  store_chunk(values, c);
  const Four four =
      f(f(load<Four>(values), load<Four>(values + 8)), f(load<Four>(values + 4), load<Four>(values + 12)));
  const Four two = f(four, __builtin_shuffle(four, Index{2, 3, 0, 1}));
  return f(two, __builtin_shuffle(two, Index{1, 0, 3, 2}))[0];
}

inline float sum_of(const Chunk& c) {
  return fold(c, [](const Four& a, const Four& b) -> Four { return a + b; });
}

inline float most_of(const Chunk& c) {
  return fold(c, [](const Four& a, const Four& b) -> Four { return b > a ? b : a; });
}

// 2^x for x < 127, within 1 ulp; 0 below 2^-126, NaN of NaN. The polynomial is the best of its degree on -1/2 .. 1/2
// that is 1 at 0.
[[gnu::always_inline]] inline Floats exp2_of(const Floats& x) {
  const Floats shifted = x + 12582912.0f;
  const Floats r = x - (shifted - 12582912.0f);
  Floats y = splat(1.5345802e-4f);
  y = multiply_add(y, r, splat(1.3399931e-3f));
  y = multiply_add(y, r, splat(9.618489e-3f));
  y = multiply_add(y, r, splat(5.5503286e-2f));
  y = multiply_add(y, r, splat(2.4022646e-1f));
  y = multiply_add(y, r, splat(6.931472e-1f));
  y = multiply_add(y, r, splat(1.0f));
  // The whole part sits in the low bits of `shifted`; into the exponent with it.
  const Floats scaled = reinterpret_cast<Floats>(reinterpret_cast<Ints>(y) + (reinterpret_cast<Ints>(shifted) << 23));
  return x < -126.0f ? Floats{} : scaled;
}

// f(j, at, y, x, n): of keys `at` to `at + n`, which are pixels (y, x) and on of one row.
template <typename F>
[[gnu::always_inline]] inline void by_map_rows(const Group& g, F f) {
  std::int64_t y = g.first / g.width, x = g.first % g.width;
  for (std::int64_t at = 0; at < g.count; x = 0, ++y) {
    const std::int64_t rest = g.count - at, n = g.width - x < rest ? g.width - x : rest;
    f(at, y, x, n);
    at += n;
  }
}

void bias(const Group& g) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  Chunk none;
  PYSEG_PARTS none.part[part] = splat(kNone);
  for (int i = 0; i < kRows; ++i) {
    float* scores = g.scores + i * g.row;
    const float *of_y = g.of_y[i], *of_x = g.of_x[i];
    by_map_rows(g, [&](std::int64_t at, std::int64_t y, std::int64_t x, std::int64_t n) {
      const Floats here = splat(of_y[y]);
      for (std::int64_t j = 0; j < n; j += kChunk) {  // the next row of the map overwrites what is too much
        Chunk c = load_chunk(of_x + x + j);
        PYSEG_PARTS c.part[part] += here;
        store_chunk(scores + at + j, c);
      }
    });
    store_chunk(scores + g.count, none);
  }
}

void softmax(const Group& g, Running* running, float* out, std::int64_t out_row, std::int64_t channels) {
  for (int i = 0; i < kRows; ++i, out += out_row) {
    float* scores = g.scores + i * g.row;
    Chunk most = load_chunk(scores);
    for (std::int64_t j = kChunk; j < g.count; j += kChunk) {
      const Chunk c = load_chunk(scores + j);
      PYSEG_PARTS most.part[part] = c.part[part] > most.part[part] ? c.part[part] : most.part[part];
    }
    const float found = most_of(most), before = g.first == 0 ? found : running[i].most;
    const float now = found > before ? found : before;
    const Floats log2e = splat(kLog2E), level = splat(-(now * kLog2E));
    Chunk sum = {};
    for (std::int64_t j = 0; j < g.count; j += kChunk) {
      Chunk c = load_chunk(scores + j);
      PYSEG_PARTS {
        c.part[part] = exp2_of(multiply_add(c.part[part], log2e, level));
        sum.part[part] += c.part[part];
      }
      store_chunk(scores + j, c);
    }
    if (g.first == 0) {  // nothing before
      running[i] = {now, sum_of(sum)};
      continue;
    }
    const Floats factor = exp2_of(splat((before - now) * kLog2E));
    running[i] = {now, running[i].sum * factor[0] + sum_of(sum)};
    for (std::int64_t c = 0; c < channels; c += kLanes) store(out + c, load<Floats>(out + c) * factor);
  }
}

void gradient(const Group& g, const Norm* norms, const float* delta, float* grad) {
  const Floats log2e = splat(kLog2E);
  for (int i = 0; i < kRows; ++i, grad += g.row) {
    float* scores = g.scores + i * g.row;
    const Floats level = splat(-(norms[i].most * kLog2E)), factor = splat(norms[i].factor), mean = splat(delta[i]);
    for (std::int64_t j = 0; j < g.count; j += kLanes) {
      const Floats p = exp2_of(multiply_add(load<Floats>(scores + j), log2e, level)) * factor;
      store(scores + j, p);
      store(grad + j, p * (load<Floats>(grad + j) - mean));
    }
  }
}

void bias_gradient(const Group& g, const float* grad, int count) {
  Chunk lane;
  PYSEG_PARTS for (int i = 0; i < kLanes; ++i) lane.part[part][i] = static_cast<float>(part * kLanes + i);
  for (int i = 0; i < count; ++i, grad += g.row) {
    float *of_y = const_cast<float*>(g.of_y[i]), *of_x = const_cast<float*>(g.of_x[i]);
    by_map_rows(g, [&](std::int64_t at, std::int64_t y, std::int64_t x, std::int64_t n) {
      Chunk sum = {};
      for (std::int64_t j = 0; j < n; j += kChunk) {
        Chunk c = load_chunk(grad + at + j), all = load_chunk(of_x + x + j);
        const Floats rest = splat(static_cast<float>(n - j));
        PYSEG_PARTS {
          c.part[part] = lane.part[part] < rest ? c.part[part] : Floats{};
          sum.part[part] += c.part[part];
          all.part[part] += c.part[part];
        }
        store_chunk(of_x + x + j, all);
      }
      of_y[y] += sum_of(sum);
    });
  }
}

inline float widen_bits(std::uint16_t x, bool half) {
  if (half) return widen_half(x);
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

inline std::uint16_t narrow_brain(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline std::uint16_t narrow_half(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  bits &= 0x7FFFFFFFu;
  std::uint32_t half;
  if (bits > 0x7F800000u) half = 0x7E00u;
  else if (bits >= 0x477FF000u) half = 0x7C00u;  // 65520 and more round to infinity
  else if (bits >= 0x38800000u) half = (bits + 0xFFFu + (bits >> 13 & 1u) - 0x38000000u) >> 13;
  else {  // the last bit of x + 1/2 is that of a subnormal
    float v;
    std::memcpy(&v, &bits, 4);
    v += 0.5f;
    std::memcpy(&half, &v, 4);
    half -= 0x3F000000u;
  }
  return static_cast<std::uint16_t>(half | sign);
}

void read(const void* in, Float type, std::int64_t token, std::int64_t channel, std::int64_t count,
          std::int64_t channels, float scale, float* out, std::int64_t out_row) {
  for (std::int64_t i = 0; i < count; ++i, out += out_row) {
    if (type == Float::f32) {
      const float* from = static_cast<const float*>(in) + i * token;
      if (channel == 1)
        for (std::int64_t c = 0; c < channels; ++c) out[c] = from[c] * scale;
      else
        for (std::int64_t c = 0; c < channels; ++c) out[c] = from[c * channel] * scale;
    } else {
      const std::uint16_t* from = static_cast<const std::uint16_t*>(in) + i * token;
      if (type == Float::f16)
        for (std::int64_t c = 0; c < channels; ++c) out[c] = widen_bits(from[c * channel], true) * scale;
      else
        for (std::int64_t c = 0; c < channels; ++c) out[c] = widen_bits(from[c * channel], false) * scale;
    }
    for (std::int64_t c = channels; c < out_row; ++c) out[c] = 0.0f;
  }
}

void write(const float* in, std::int64_t in_row, std::int64_t count, std::int64_t channels, float scale, void* out,
           Float type, std::int64_t token, std::int64_t channel) {
  for (std::int64_t i = 0; i < count; ++i, in += in_row) {
    if (type == Float::f32) {
      float* to = static_cast<float*>(out) + i * token;
      if (channel == 1)
        for (std::int64_t c = 0; c < channels; ++c) to[c] = in[c] * scale;
      else
        for (std::int64_t c = 0; c < channels; ++c) to[c * channel] = in[c] * scale;
    } else {
      std::uint16_t* to = static_cast<std::uint16_t*>(out) + i * token;
      for (std::int64_t c = 0; c < channels; ++c)
        to[c * channel] = type == Float::f16 ? narrow_half(in[c] * scale) : narrow_brain(in[c] * scale);
    }
  }
}

float dot(const float* a, const float* b, std::int64_t channels) {
  Chunk sum = {};
  for (std::int64_t c = 0; c < channels; c += kChunk)
    PYSEG_PARTS sum.part[part] =
        multiply_add(load<Floats>(a + c + part * kLanes), load<Floats>(b + c + part * kLanes), sum.part[part]);
  return sum_of(sum);
}

constexpr RowKernels kKernels = {&bias, &softmax, &gradient, &bias_gradient, &read, &write, &dot};

}  // namespace

const RowKernels* row_kernels() { return &kKernels; }

}  // namespace pyseg::relpos_attention::PYSEG_ISA
