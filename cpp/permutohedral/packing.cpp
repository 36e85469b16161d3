// How much room the coordinates of an image's vertices need in a key.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "core/check.h"
#include "permutohedral/keys.h"

namespace pyseg::permutohedral {

// Least and largest of each feature.
template <typename T>
std::vector<T> spans(const char* op, std::int64_t blocks, int dims, FeatureBlock<T> features,
                     const Executor& executor) {
  const auto d = static_cast<std::size_t>(dims);
  std::vector<T> span(2 * d, std::numeric_limits<T>::infinity());
  std::mutex mutex;
  bool finite = true;
  executor.run(blocks, 256, [&](std::int64_t begin, std::int64_t end) {
    alignas(128) T block[kMostDims * kLanes];
    std::vector<T> least(2 * d * kLanes, std::numeric_limits<T>::infinity());  // of f, then of -f
    T wrong = 0;                                                               // NaN where a feature is not finite
    for (std::int64_t b = begin; b < end; ++b) {
      features(b, block);
      for (std::size_t i = 0; i < d * kLanes; ++i) {
        wrong += block[i] * 0;
        least[i] = std::min(least[i], block[i]);
        least[d * kLanes + i] = std::min(least[d * kLanes + i], -block[i]);
      }
    }
    const std::lock_guard lock(mutex);
    finite = finite && wrong == 0;
    for (std::size_t i = 0; i < 2 * d * kLanes; ++i) span[i / kLanes] = std::min(span[i / kLanes], least[i]);
  });
  check(finite, op, ": features must be finite");
  return span;
}

// Room for each coordinate, from the features' spans.
template <typename T>
Packing pack(const char* op, int dims, const T* scale, const T* span) {
  const double limit = std::ldexp(1.0, sizeof(T) == 4 ? 20 : 30);
  const auto d = static_cast<std::size_t>(dims);
  Packing packing;
  int used = 0;
  double low = 0, high = 0;  // of the sum of the features after the i-th
  for (std::size_t i = d; i-- > 0;) {
    const double c_low = static_cast<double>(span[i]) * static_cast<double>(scale[i]);
    const double c_high = -static_cast<double>(span[d + i]) * static_cast<double>(scale[i]);
    // Coordinate i + 1 is that sum - (i + 1) c_i.
    const double most = std::max({std::abs(low), std::abs(high), 0.0}) +
                        static_cast<double>(i + 1) * std::max(std::abs(c_low), std::abs(c_high));
    check(most < limit, op, ": lattice coordinates must be below ", limit, ", got ", most,
          ": a sigma is too small for the range of its feature");
    low += c_low;
    high += c_high;
    if (i + 1 < d) {
      const double from = low - c_low - static_cast<double>(i + 1) * c_high;
      const double to = high - c_high - static_cast<double>(i + 1) * c_low;
      packing.bias[i + 1] = static_cast<std::int32_t>(-std::floor(from)) + 4 * (dims + 1);
      packing.bits[i + 1] = 1 + static_cast<int>(std::log2(std::ceil(to - from) + 8 * (dims + 1)));
    }
  }
  packing.bias[0] = static_cast<std::int32_t>(-std::floor(low)) + 4 * (dims + 1);
  packing.bits[0] = 1 + static_cast<int>(std::log2(std::ceil(high - low) + 8 * (dims + 1)));
  for (std::size_t i = 0; i < d; ++i) {
    if (used + packing.bits[i] > 64) {
      used = 0;
      ++packing.groups;
    }
    used += packing.bits[i];
    packing.group[i] = packing.groups - 1;
  }
  return packing;
}

template std::vector<float> spans(const char*, std::int64_t, int, FeatureBlock<float>, const Executor&);
template std::vector<double> spans(const char*, std::int64_t, int, FeatureBlock<double>, const Executor&);
template Packing pack(const char*, int, const float*, const float*);
template Packing pack(const char*, int, const double*, const double*);

}  // namespace pyseg::permutohedral
