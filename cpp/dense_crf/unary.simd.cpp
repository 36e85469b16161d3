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

// Logits of class c of the points from `i` on; adds to `wrong` what is not finite or no probability.
inline Floats logit(ClassView<const float> unary, const std::uint32_t* points, UnaryKind kind, std::int64_t c,
                    Floats& wrong) {
  const float* in = unary.data + c * unary.class_stride;
  Floats v;
  if (unary.point_stride == 1 && adjacent(points, kVector)) {
    v = load<Floats>(in + points[0]);
  } else {
    for (int i = 0; i < kVector; ++i) v[i] = in[points[i] * unary.point_stride];
  }
  if (kind == UnaryKind::probabilities) {
    const Ints within = (v >= 0.0f) & (v <= 1.0f + 1e-4f);  // false for NaN
    wrong += within ? all(0.0f) : all(1.0f);
    return log_of(greater_of(v, all(kLeastProbability)));
  }
  wrong += v * 0.0f;
  return kind == UnaryKind::energy ? -v : v;
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
            bool less_last, std::int64_t stride, float* rows) {
  const std::int64_t channels = less_last ? classes - 1 : classes;
  Floats wrong{};
  alignas(64) float columns[4 * kLanes], last[kLanes] = {};
  for (int i = 0; less_last && i < kLanes; i += kVector)
    store(last + i, logit(unary, points + i, kind, classes - 1, wrong));
  if (stride == 1) {
    for (int i = 0; i < kLanes; i += kVector)
      store(rows + i, logit(unary, points + i, kind, 0, wrong) - load<Floats>(last + i));
  } else {
    for (std::int64_t c = 0; c < stride; c += 4) {
      for (std::int64_t j = 0; j < 4; ++j)
        for (int i = 0; i < kLanes; i += kVector)
          store(columns + j * kLanes + i,
                c + j < channels ? logit(unary, points + i, kind, c + j, wrong) - load<Floats>(last + i) : all(kNever));
      to_rows(columns, stride, rows + c);
    }
  }
  bool fine = true;
  for (int i = 0; i < kVector; ++i) fine = fine && wrong[i] == 0.0f;
  return fine;
}

void narrow(const float* in, std::int64_t count, Half* out) {
  std::int64_t i = 0;
  for (; i + kVector <= count; i += kVector) store(out + i, load<Floats>(in + i));
  for (; i < count; i += 4) store(out + i, load<Float4>(in + i));
}

}  // namespace

const UnaryKernels* unary_kernels() {
  static constexpr UnaryKernels table{softmax, logits, narrow};
  return &table;
}

}  // namespace pyseg::dense_crf::PYSEG_ISA
