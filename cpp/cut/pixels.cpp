// Between pixels and superpixels: single passes, bound by memory.
#include <algorithm>

#include "cut/cut.h"

namespace pyseg::cut {
namespace {
constexpr std::int64_t kGrain = 1 << 15;
}

void count_strokes(const std::int32_t* labels, const std::int8_t* strokes, std::int64_t pixels, std::int64_t count,
                   std::int64_t* out) {
  std::fill_n(out, 2 * count, 0);
  for (std::int64_t i = 0; i < pixels; ++i)
    if (strokes[i] >= 0) ++out[2 * static_cast<std::int64_t>(labels[i]) + (strokes[i] > 0)];
}

void unary(const std::int32_t* labels, const float* logit, const std::int8_t* strokes, std::int64_t pixels,
           const Executor& exec, float* out) {
  exec.run(pixels, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[2 * i] = 0;
      out[2 * i + 1] = strokes[i] < 0 ? -logit[labels[i]] : strokes[i] > 0 ? -kSure : kSure;
    }
  });
}

void finish(const float* q, const std::int8_t* strokes, std::int64_t pixels, const Executor& exec, float* probability,
            bool* mask) {
  exec.run(pixels, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float p = strokes[i] < 0 ? q[2 * i + 1] : strokes[i] > 0 ? 1.0f : 0.0f;
      probability[i] = p;
      mask[i] = p > 0.5f;
    }
  });
}

}  // namespace pyseg::cut
