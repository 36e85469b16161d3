// What comes before and after the fused pass: the unary term to rows of logits, rows to half precision; and the softmax
// of the pass that is not fused.
#include <algorithm>

#include "dense_crf/kernels.h"
#include "dense_crf/math.h"

namespace pyseg::dense_crf::PYSEG_ISA {
namespace {

void softmax(float* rows, std::int64_t count, std::int64_t stride) {
  for (std::int64_t i = 0; i < count; ++i) {
    float* row = rows + i * stride;
    float most = row[0];
    for (std::int64_t c = 1; c < stride; ++c) most = std::max(most, row[c]);
    for (std::int64_t c = 0; c < stride; ++c) row[c] = std::max(row[c] - most, kLeastExponent);
  }
  std::int64_t at = 0;
  for (; at + kVector <= count * stride; at += kVector) store(rows + at, exp_of(load<Floats>(rows + at)));
  if (at < count * stride) {
    Floats rest{};
    const auto bytes = static_cast<std::size_t>(count * stride - at) * sizeof(float);
    std::memcpy(&rest, rows + at, bytes);
    rest = exp_of(rest);
    std::memcpy(rows + at, &rest, bytes);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    float* row = rows + i * stride;
    float sum = 0;
    for (std::int64_t c = 0; c < stride; ++c) sum += row[c];
    const float inverse = 1.0f / sum;
    for (std::int64_t c = 0; c < stride; ++c) row[c] *= inverse;
  }
}

// What is given of class c, of the points from `points` on.
inline Floats given(ClassView<const float> unary, const std::uint32_t* points, std::int64_t c) {
  const float* in = unary.data + c * unary.class_stride;
  if (unary.point_stride == 1 && adjacent(points, kVector)) return load<Floats>(in + points[0]);
  Floats v;
  for (int i = 0; i < kVector; ++i) v[i] = in[points[i] * unary.point_stride];
  return v;
}

inline Floats to_logit(Floats v, UnaryKind kind) {
  if (kind == UnaryKind::probabilities) return log_of(greater_of(v, all(kLeastProbability)));
  return kind == UnaryKind::energy ? -v : v;
}

// Not 0 where a value is not finite, or no probability.
inline Floats wrong_in(Floats v, UnaryKind kind) {
  if (kind != UnaryKind::probabilities) return v * 0.0f;
  const Ints within = (v >= 0.0f) & (v <= 1.0f + 1e-4f);  // false for NaN
  return within ? all(0.0f) : all(1.0f);
}

// rows [16][stride] from four columns of 16.
void to_rows(const float* columns, std::int64_t stride, float* rows) {
  for (int i = 0; i < kLanes; i += 4) {
    Four v[4];
    for (int j = 0; j < 4; ++j) v[j] = load<Four>(columns + j * kLanes + i);
    transpose(v);
    for (int j = 0; j < 4; ++j) store(rows + (i + j) * stride, v[j]);
  }
}

bool logits(ClassView<const float> unary, const std::uint32_t* points, UnaryKind kind, std::int64_t classes,
            std::int64_t stride, float* rows, float* last) {
  alignas(64) float most[kLanes], columns[4 * kLanes];
  Floats wrong{};
  const float sign = kind == UnaryKind::energy ? -1.0f : 1.0f;
  for (int i = 0; i < kLanes; i += kVector) {
    Floats top = all(-__builtin_inff());
    for (std::int64_t c = 0; c < classes; ++c) {
      const Floats v = given(unary, points + i, c);
      wrong += wrong_in(v, kind);
      top = greater_of(top, v * sign);
    }
    store(most + i, to_logit(top * sign, kind));
  }
  const auto less_most = [&](std::int64_t c, int i) {
    return to_logit(given(unary, points + i, c), kind) - load<Floats>(most + i);
  };
  if (stride == 1) {
    for (int i = 0; i < kLanes; i += kVector) store(rows + i, less_most(0, i) - less_most(1, i));
  } else {
    const std::int64_t channels = last == nullptr ? classes : classes - 1;
    for (std::int64_t c = 0; c < stride; c += 4) {
      for (std::int64_t j = 0; j < 4; ++j)
        for (int i = 0; i < kLanes; i += kVector)
          store(columns + j * kLanes + i, c + j < channels ? less_most(c + j, i) : all(kNever));
      to_rows(columns, stride, rows + c);
    }
    for (int i = 0; last != nullptr && i < kLanes; i += kVector) store(last + i, less_most(classes - 1, i));
  }
  bool fine = true;
  for (int i = 0; i < kVector; ++i) fine = fine && wrong[i] == 0.0f;
  return fine;
}

void narrow(const float* in, std::int64_t count, Half* out) {
  std::int64_t i = 0;
  for (; i + kVector <= count; i += kVector) write(out + i, load<Floats>(in + i));
  for (; i < count; i += 4) write(out + i, load<Float4>(in + i));
}

}  // namespace

const UnaryKernels* unary_kernels() {
  static constexpr UnaryKernels table{softmax, logits, narrow};
  return &table;
}

}  // namespace pyseg::dense_crf::PYSEG_ISA
