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

// Windows do not overlap and lie side by side from 0 on: each position along an axis has one, or none.
inline bool tiles(const Problem& p) {
  for (std::size_t a = 0; a < 3; ++a)
    if (p.padding[a] != 0 || p.stride[a] < p.kernel[a] || (p.dilation[a] != 1 && p.kernel[a] != 1)) return false;
  return true;
}

// The pooled rows [begin, end) of all planes, as run(plane, od, oh, n): n rows whose windows are whole in height and
// lie in one plane, or one row.
template <typename Run>
void for_blocks(const Problem& p, std::int64_t begin, std::int64_t end, Run run) {
  const std::int64_t reach = (p.kernel[1] - 1) * p.dilation[1], room = p.large[1] - 1 - reach + p.padding[1];
  const std::int64_t low = (p.padding[1] + p.stride[1] - 1) / p.stride[1];
  const std::int64_t high = room < 0 ? 0 : std::min(p.small[1], room / p.stride[1] + 1);
  for (std::int64_t r = begin; r < end;) {
    const std::int64_t oh = r % p.small[1], depth = r / p.small[1];
    const std::int64_t n = oh >= low && oh < high ? std::min(high - oh, end - r) : 1;
    run(depth / p.small[0], depth % p.small[0], oh, n);
    r += n;
  }
}

// The windows of a row of pixels, as run(o, n, taps along the row): n whole ones, or one.
template <typename Run>
void for_windows(const Problem& p, Run run) {
  const std::int64_t reach = (p.kernel[2] - 1) * p.dilation[2], room = p.large[2] - 1 - reach + p.padding[2];
  const std::int64_t low = (p.padding[2] + p.stride[2] - 1) / p.stride[2];
  const std::int64_t high = room < 0 ? 0 : std::min(p.small[2], room / p.stride[2] + 1);
  for (std::int64_t o = 0; o < p.small[2];) {
    const std::int64_t n = o >= low && o < high ? high - o : 1;
    run(o, n, taps_of(p, 2, o));
    o += n;
  }
}

// Places of the taps in the plane, from the window's first position on.
inline void tap_places(const Problem& p, std::int64_t* of_tap) {
  for (std::int64_t t = 0; t < p.taps(); ++t) {
    const std::int64_t kw = t % p.kernel[2], kh = t / p.kernel[2] % p.kernel[1], kd = t / p.kernel[2] / p.kernel[1];
    of_tap[t] = (kd * p.dilation[0] * p.large[1] + kh * p.dilation[1]) * p.large[2] + kw * p.dilation[2];
  }
}
inline std::int64_t row_origin(const Problem& p, std::int64_t od, std::int64_t oh) {
  const std::int64_t d = od * p.stride[0] - p.padding[0], h = oh * p.stride[1] - p.padding[1];
  return (d * p.large[1] + h) * p.large[2] - p.padding[2];
}

inline const std::byte* at_bytes(const void* p, std::int64_t bytes) { return static_cast<const std::byte*>(p) + bytes; }
inline std::byte* at_bytes(void* p, std::int64_t bytes) { return static_cast<std::byte*>(p) + bytes; }

// Enough rows of `values` each for a thread to be worth its start.
inline std::int64_t grain_of(std::int64_t values) {
  return std::max<std::int64_t>(1, (std::int64_t{1} << 15) / std::max<std::int64_t>(1, values));
}

// Whether the codes of n pooled rows, as for_blocks has them, are of taps in x; check_codes throws std::out_of_range.
bool codes_fit(const Problem& p, const std::uint8_t* codes, std::int64_t od, std::int64_t oh, std::int64_t n);
void check_codes(const Problem& p, const std::uint8_t* codes, std::int64_t od, std::int64_t oh, std::int64_t n);

[[noreturn]] void bad_index(std::int64_t index, std::int64_t end);

}  // namespace pyseg::max_unpool
