// Stretched and mixed rows; compiled once per instruction set.
#include "paste_masks/paste_masks.h"

#include "core/vectors.h"

namespace pyseg::paste_masks::PYSEG_ISA {
namespace {

void stretch(const float* __restrict__ row, const std::int32_t* __restrict__ low, const std::int32_t* __restrict__ high,
             const float* __restrict__ at_low, const float* __restrict__ at_high, std::int64_t count,
             float* __restrict__ out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = row[low[i]] * at_low[i] + row[high[i]] * at_high[i];
}

void mix(const float* __restrict__ a, const float* __restrict__ b, float at_a, float at_b, std::int64_t count,
         float* __restrict__ out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] * at_a + b[i] * at_b;
}

constexpr int kWide = kVectorBytes / 4;
using Bytes = std::uint8_t __attribute__((vector_size(kWide)));

void mix_over(const float* a, const float* b, float at_a, float at_b, float threshold, std::int64_t count,
              std::uint8_t* out) {
  std::int64_t i = 0;
  for (; i + kWide <= count; i += kWide) {
    const Ints over = load<Floats>(a + i) * at_a + load<Floats>(b + i) * at_b >= Floats{} + threshold;
    store(out + i, __builtin_convertvector(over & 1, Bytes));
  }
  for (; i < count; ++i) out[i] = a[i] * at_a + b[i] * at_b >= threshold;
}

constexpr Kernels kTable = {&stretch, &mix, &mix_over};

}  // namespace

const Kernels* kernels() { return &kTable; }

}  // namespace pyseg::paste_masks::PYSEG_ISA
