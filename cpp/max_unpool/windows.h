// Which pixels of x a window has, and how work is cut: shared by pool, gather and spread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "max_unpool/kernels.h"
#include "max_unpool/max_unpool.h"

namespace pyseg::max_unpool {

constexpr int kMostTaps = 256;

// Along axis a, the taps of window o that lie within x are [first, last).
struct Taps {
  std::int64_t origin, first, last;
};
inline Taps taps_of(const Problem& p, std::size_t a, std::int64_t o) {
  const std::int64_t origin = o * p.stride[a] - p.padding[a], d = p.dilation[a];
  if (origin >= 0 && origin + (p.kernel[a] - 1) * d < p.large[a]) return {origin, 0, p.kernel[a]};
  const std::int64_t first = origin < 0 ? (-origin + d - 1) / d : 0;
  const std::int64_t inside = origin < p.large[a] ? (p.large[a] - 1 - origin) / d + 1 : 0;
  return {origin, first, std::min(p.kernel[a], inside)};
}

// All windows along axis a lie within x.
inline bool all_inside(const Problem& p, std::size_t a) {
  return p.padding[a] == 0 && (p.small[a] - 1) * p.stride[a] + (p.kernel[a] - 1) * p.dilation[a] < p.large[a];
}

// The rows of x that a pooled row's windows run over: their index in the plane (d * H + h) and first tap.
struct RowTaps {
  std::int64_t row[kMostTaps];
  int first_tap[kMostTaps];
  int count = 0;

  RowTaps(const Problem& p, std::int64_t od, std::int64_t oh) {
    const Taps d = taps_of(p, 0, od), h = taps_of(p, 1, oh);
    for (std::int64_t kd = d.first; kd < d.last; ++kd)
      for (std::int64_t kh = h.first; kh < h.last; ++kh) {
        row[count] = (d.origin + kd * p.dilation[0]) * p.large[1] + h.origin + kh * p.dilation[1];
        first_tap[count++] = static_cast<int>((kd * p.kernel[1] + kh) * p.kernel[2]);
      }
  }
};

// Enough rows of `values` each for a thread to be worth its start.
inline std::int64_t grain_of(std::int64_t values) {
  return std::max<std::int64_t>(1, (std::int64_t{1} << 15) / std::max<std::int64_t>(1, values));
}

// Throws std::out_of_range unless the codes of a pooled row, `width` values for each of its windows, are of taps in x.
void check_codes(const Problem& p, const std::uint8_t* codes, std::int64_t od, std::int64_t oh);

[[noreturn]] void bad_index(std::int64_t index, std::int64_t end);

}  // namespace pyseg::max_unpool
