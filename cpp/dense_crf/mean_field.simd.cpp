// The fused pass of the mean field: slice, softmax, splat of a block of 16 points after the other.
//
// A row of a point is K - 1 differences Q_c - Q_last. Slice and splat go row by row, channels in registers;
// exponentials run over the block's rows as one array, so that the padding between rows is all that is wasted; maxima
// and sums of four rows are folded together. What bounds it: loads and stores of the rows, 2 cache lines each, out of
// L1 and L2.
#include <algorithm>

#include "dense_crf/kernels.h"
#include "dense_crf/math.h"

namespace pyseg::dense_crf::PYSEG_ISA {
namespace {

template <int Size>
struct Halves;
template <>
struct Halves<16> {
  using Type = Float8;
};
template <>
struct Halves<8> {
  using Type = Float4;
};

// A vector folded to four floats: halves on halves.
template <typename V>
inline Four fold_vector(const V& v, auto op) {
  if constexpr (sizeof(V) == sizeof(Four)) {
    return v;
  } else {
    typename Halves<sizeof(V) / 4>::Type half[2];
    std::memcpy(half, &v, sizeof v);
    return fold_vector(op(half[0], half[1]), op);
  }
}

// The channels of a row, folded to four: blocks of 16 on each other, then their halves, then the tail. The same order
// whatever the size of a register.
template <int Blocks, int Tail>
inline Four fold(const Row<Blocks, Tail>& row, auto op) {
  Four tail = fold_vector(row.end[0], op);
  if constexpr (Row<Blocks, Tail>::kEnds == 2) tail = op(row.end[0], row.end[1]);
  if constexpr (Blocks == 0) {
    return tail;
  } else {
    constexpr int kRegisters = 16 / kVector;
    Floats all[kRegisters];
    for (int i = 0; i < kRegisters; ++i) {
      all[i] = row.wide[i];
      for (int b = 1; b < Blocks; ++b) all[i] = op(all[i], row.wide[b * kRegisters + i]);
    }
    for (int half = kRegisters / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) all[i] = op(all[i], all[i + half]);
    const Four head = fold_vector(all[0], op);
    return Tail == 0 ? head : op(head, tail);
  }
}

// Four rows of four to their four results.
inline Four fold_rows(Four* v, auto op) {
  transpose(v);
  return op(op(v[0], v[2]), op(v[1], v[3]));
}

constexpr auto kMax = [](auto a, auto b) { return a > b ? a : b; };
constexpr auto kSum = [](auto a, auto b) { return a + b; };

struct Taps {  // of a block: weights and rows of its points, and where the rows are
  alignas(64) float read[kMostTaps][kLanes], write[kMostTaps][kLanes];
  alignas(64) std::uint32_t row[kMostTaps][kLanes];
  int count = 0;
};

void gather_taps(const Pass& pass, std::int64_t block, Taps& taps) {
  int t = 0;
  for (int k = 0; k < pass.count; ++k) {
    const Side& side = pass.sides[k];
    const std::int64_t at = block * side.classes * kLanes;
    for (int i = 0; i < kLanes; i += kVector) {
      Floats read = all(side.scale), write = all(1.0f);
      if (side.after != nullptr) read *= load<Floats>(side.after + block * kLanes + i);
      if (side.before != nullptr) write = load<Floats>(side.before + block * kLanes + i);
      for (int r = 0; r < side.classes; ++r) {
        const Floats weight = load<Floats>(side.weight + at + r * kLanes + i);
        store(taps.read[t + r] + i, weight * read);
        store(taps.write[t + r] + i, weight * write);
      }
    }
    for (int r = 0; r < side.classes; ++r, ++t) {
      const std::uint16_t* offset = side.offset + at + r * kLanes;
      const std::uint32_t base = side.base[r];  // a local: a store to `row` might change side.base
      for (int i = 0; i < kLanes; ++i) taps.row[t][i] = base + offset[i];
    }
  }
  taps.count = t;
}

// Of what a pass reads once, front to back, the hardware fetches too little ahead: half a pass would be waiting for it.
void prefetch(const Pass& pass, std::int64_t block) {
  constexpr std::int64_t kAhead = 3, kLine = 64;
  if (block + kAhead >= pass.last_block) return;
  const auto fetch = [](const void* from, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; i += kLine) __builtin_prefetch(static_cast<const char*>(from) + i);
  };
  if (pass.stride > 1) fetch(pass.last + (block + kAhead) * kLanes, kLine);
  fetch(pass.unary + (block + kAhead) * kLanes * pass.stride, kLanes * pass.stride * 4);
  for (int k = 0; k < pass.count; ++k) {
    const Side& side = pass.sides[k];
    const std::int64_t at = (block + kAhead) * side.classes * kLanes;
    fetch(side.weight + at, 4 * side.classes * kLanes);
    fetch(side.offset + at, 2 * side.classes * kLanes);
    if (side.before != nullptr) fetch(side.before + (block + kAhead) * kLanes, kLine);
  }
}

// rows of logits, and those of the last class, to Q_c - Q_last, or in the last pass to Q_c: out of the difference, a
// small Q would come as 0; last [16]: Q_last. Where the largest logits of all points are near 0, as almost everywhere,
// they need not be taken away.
template <int Blocks, int Tail>
void differences(float* rows, const float* last_logit, bool differ, float* last) {
  using Values = Row<Blocks, Tail>;
  constexpr int kSize = Values::kSize;
  alignas(64) float most[kLanes], sum[kLanes];
  Four high = Four{} + kSafeExponent, low = high;
  for (int i = 0; i < kLanes; i += 4) {
    Four part[4];
    for (int j = 0; j < 4; ++j) part[j] = fold(Values::from(rows + (i + j) * kSize), kMax);
    const Four m = kMax(fold_rows(part, kMax), load<Four>(last_logit + i));
    store(most + i, m);
    high = kMax(high, m);
    low = m < low ? m : low;
  }
  const Four odd = (high > kSafeExponent) | (low < -kSafeExponent) ? Four{} + 1.0f : Four{};
  if (odd[0] + odd[1] + odd[2] + odd[3] > 0) {
    for (int i = 0; i < kLanes; ++i) {
      Values z = Values::from(rows + i * kSize);
      z.each(z, [m = most[i]](auto& x, const auto&) { x -= m; });
      z.to(rows + i * kSize);
    }
  } else {
    std::fill(most, most + kLanes, 0.0f);
  }
  for (int i = 0; i < kLanes * kSize; i += kVector)
    store(rows + i, exp_of(greater_of(load<Floats>(rows + i), all(kLeastExponent))));
  for (int i = 0; i < kLanes; i += 4) {
    Four part[4];
    for (int j = 0; j < 4; ++j) part[j] = fold(Values::from(rows + (i + j) * kSize), kSum);
    store(sum + i, fold_rows(part, kSum));
  }
  for (int i = 0; i < kLanes; i += kVector) {
    const Floats of_last =
        exp_of(greater_of(load<Floats>(last_logit + i) - load<Floats>(most + i), all(kLeastExponent)));
    const Floats inverse = 1.0f / (load<Floats>(sum + i) + of_last);
    store(sum + i, inverse);
    store(last + i, of_last * inverse);
  }
  for (int i = 0; i < kLanes; ++i) {
    Values e = Values::from(rows + i * kSize);
    e.each(e, [a = sum[i], b = differ ? last[i] : 0.0f](auto& x, const auto&) { x = x * a - b; });
    e.to(rows + i * kSize);
  }
}

void write(const Pass& pass, std::int64_t block, const float* rows, const float* last) {
  std::uint32_t at[kLanes];
  const int count = points_of(pass.order, pass.points, block, at);
  const std::int64_t channels = pass.classes - 1;
  if (pass.out.point_stride == 1 && count == kLanes && adjacent(at, kLanes)) {
    for (std::int64_t c = 0; c < pass.stride; c += 4)
      for (int i = 0; i < kLanes; i += 4) {
        Four v[4];
        for (int j = 0; j < 4; ++j) v[j] = load<Four>(rows + (i + j) * pass.stride + c);
        transpose(v);
        for (std::int64_t j = 0; j < 4 && c + j < channels; ++j)
          store(pass.out.data + (c + j) * pass.out.class_stride + at[i], v[j]);
      }
    std::memcpy(pass.out.data + channels * pass.out.class_stride + at[0], last, kLanes * sizeof(float));
    return;
  }
  for (int i = 0; i < count; ++i) {
    float* q = pass.out.data + at[i] * pass.out.point_stride;
    for (std::int64_t c = 0; c < channels; ++c) q[c * pass.out.class_stride] = rows[i * pass.stride + c];
    q[channels * pass.out.class_stride] = last[i];
  }
}

template <int Blocks, int Tail, typename In>
struct Fused {
  using Values = Row<Blocks, Tail>;
  static constexpr int kSize = Values::kSize;

  const Pass& pass;
  Taps taps;
  alignas(64) float rows[kLanes * kSize], last[kLanes];

  void read(std::int64_t block) {
    const float* unary = pass.unary + block * kLanes * kSize;
    if (!pass.slice) {
      std::memcpy(rows, unary, sizeof rows);
      return;
    }
    for (int i = 0; i < kLanes; ++i) {
      Values z = Values::from(unary + i * kSize);
      for (int k = 0, t = 0; k < pass.count; ++k) {
        const In* in = static_cast<const In*>(pass.sides[k].in);
        for (const int end = t + pass.sides[k].classes; t < end; ++t)
          z.add(taps.read[t][i], Values::from(in + static_cast<std::int64_t>(taps.row[t][i]) * kSize));
      }
      z.to(rows + i * kSize);
    }
  }

  void add() {
    for (int i = 0; i < kLanes; ++i) {
      const Values q = Values::from(rows + i * kSize);
      for (int k = 0, t = 0; k < pass.count; ++k) {
        float* out = pass.sides[k].out;
        for (const int end = t + pass.sides[k].classes; t < end; ++t) {
          float* row = out + static_cast<std::int64_t>(taps.row[t][i]) * kSize;
          Values sum = Values::from(row);
          sum.add(taps.write[t][i], q);
          sum.to(row);
        }
      }
    }
  }

  void run() {
    for (std::int64_t block = pass.first_block; block < pass.last_block; ++block) {
      prefetch(pass, block);
      gather_taps(pass, block, taps);
      read(block);
      differences<Blocks, Tail>(rows, pass.last + block * kLanes, pass.splat, last);
      if (pass.splat) add();
      else write(pass, block, rows, last);
    }
  }
};

template <typename In>
void potts_of(const Pass& pass) {
  panels(pass.stride, [&]<int Blocks, int Tail>(std::int64_t) { Fused<Blocks, Tail, In>{pass, {}, {}, {}}.run(); });
}

void potts(const Pass& pass) { potts_of<float>(pass); }
void potts_half(const Pass& pass) { potts_of<Half>(pass); }

// One channel: 16 points at a time. Q_0 - Q_1 = tanh(z / 2).
void two_classes(const Pass& pass) {
  alignas(64) float write[kMostTaps][kLanes];
  alignas(64) std::uint32_t row[kMostTaps][kLanes], at[kLanes];
  alignas(64) float first[kLanes], second[kLanes];
  for (std::int64_t block = pass.first_block; block < pass.last_block; ++block) {
    prefetch(pass, block);
    for (int k = 0, t = 0; k < pass.count; ++k) {
      const Side& side = pass.sides[k];
      const std::uint16_t* offset = side.offset + block * side.classes * kLanes;
      for (int r = 0; r < side.classes; ++r, ++t) {
        const std::uint32_t base = side.base[r];
        for (int i = 0; i < kLanes; ++i) row[t][i] = base + offset[r * kLanes + i];
      }
    }
    for (int i = 0; i < kLanes; i += kVector) {
      Floats z = load<Floats>(pass.unary + block * kLanes + i);
      for (int k = 0, t = 0; pass.slice && k < pass.count; ++k) {
        const Side& side = pass.sides[k];
        const auto* in = static_cast<const float*>(side.in);
        const float* weight = side.weight + block * side.classes * kLanes + i;
        Floats sum{};
        for (int r = 0; r < side.classes; ++r, ++t) {
          Floats read;
          for (int j = 0; j < kVector; ++j) read[j] = in[row[t][i + j]];
          sum += load<Floats>(weight + r * kLanes) * read;
        }
        if (side.after != nullptr) sum *= load<Floats>(side.after + block * kLanes + i);
        z += sum * side.scale;
      }
      const Ints sign = bits_of<Ints>(z) & static_cast<int>(0x80000000);
      const Floats size = bits_of<Floats>(bits_of<Ints>(z) & 0x7fffffff);
      const Floats e = exp_of(greater_of(-size, all(kLeastExponent)));
      const Floats least = e / (1.0f + e), most = 1.0f / (1.0f + e);
      if (pass.splat) {
        const Floats value = bits_of<Floats>(bits_of<Ints>(most - least) | sign);
        for (int k = 0, t = 0; k < pass.count; ++k) {
          const Side& side = pass.sides[k];
          const float* weight = side.weight + block * side.classes * kLanes + i;
          const Floats v = side.before == nullptr ? value : value * load<Floats>(side.before + block * kLanes + i);
          for (int r = 0; r < side.classes; ++r, ++t) store(write[t] + i, load<Floats>(weight + r * kLanes) * v);
        }
      } else {
        store(first + i, sign < 0 ? least : most);
        store(second + i, sign < 0 ? most : least);
      }
    }
    if (pass.splat) {
      for (int k = 0, t = 0; k < pass.count; t += pass.sides[k++].classes) {
        float* out = pass.sides[k].out;
        for (int i = 0; i < kLanes; ++i)
          for (int r = t; r < t + pass.sides[k].classes; ++r) out[row[r][i]] += write[r][i];
      }
      continue;
    }
    const int count = points_of(pass.order, pass.points, block, at);
    for (int i = 0; i < count; ++i) {
      float* q = pass.out.data + at[i] * pass.out.point_stride;
      q[0] = first[i];
      q[pass.out.class_stride] = second[i];
    }
  }
}

}  // namespace

const Kernels* kernels() {
  static constexpr Kernels table{potts, potts_half, two_classes};
  return &table;
}

}  // namespace pyseg::dense_crf::PYSEG_ISA
