// Sorting edges by weight, exactly, at the price of a few bits.
//
// An item is the weight as float32 in its upper half, whose bits order as weights do, and the edge in its lower half.
// A stable radix sort on the upper bits brings nearly all in order; what shares these bits is sorted by comparison: by
// the float64 weights, then by edge. A tile's edges, 65,000, need two passes over the upper 24 bits.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace pyseg::felzenszwalb {

inline float weight_of(std::uint64_t item) { return std::bit_cast<float>(static_cast<std::uint32_t>(item >> 32)); }

// One stable pass by `Bits` bits from `shift` on.
template <int Bits>
void radix_pass(const std::uint64_t* in, std::uint64_t* out, std::int64_t n, int shift) {
  constexpr std::uint64_t kMask = (1u << Bits) - 1;
  std::array<std::uint32_t, 1 << Bits> at{};
  for (std::int64_t i = 0; i < n; ++i) ++at[in[i] >> shift & kMask];
  std::uint32_t sum = 0;
  for (std::uint32_t& count : at) sum += std::exchange(count, sum);
  for (std::int64_t i = 0; i < n; ++i) out[at[in[i] >> shift & kMask]++] = in[i];
}

// An item of the same float32 as its neighbours, with what decides: the weight, then `order`.
struct Tie {
  double weight;
  std::uint64_t order, item;
  bool operator<(const Tie& t) const { return weight != t.weight ? weight < t.weight : order < t.order; }
};

// By the upper halves, stable.
inline void sort_run(std::uint64_t* begin, std::uint64_t* end) {
  const auto before = [](std::uint64_t a, std::uint64_t b) { return a >> 32 < b >> 32; };
  if (end - begin > 32) {
    if (!std::is_sorted(begin, end, before)) std::stable_sort(begin, end, before);
    return;
  }
  for (std::uint64_t* i = begin + 1; i < end; ++i) {
    const std::uint64_t item = *i;
    std::uint64_t* to = i;
    for (; to > begin && before(item, to[-1]); --to) *to = to[-1];
    *to = item;
  }
}

// Sorts what is sorted by the bits from `shift` on; tie_of(item) is what decides where float32 does not.
template <typename TieOf>
void settle(std::uint64_t* items, std::int64_t n, int shift, std::vector<Tie>& ties, TieOf tie_of) {
  for (std::int64_t i = 1; i < n; ++i) {
    if (items[i] >> 32 > items[i - 1] >> 32) continue;
    std::int64_t begin = i - 1, end = i + 1;
    while (begin > 0 && items[begin - 1] >> shift == items[i] >> shift) --begin;
    while (end < n && items[end] >> shift == items[i] >> shift) ++end;
    if (shift > 32) sort_run(items + begin, items + end);
    for (std::int64_t from = begin, to; from < end; from = to) {
      for (to = from + 1; to < end && items[to] >> 32 == items[from] >> 32;) ++to;
      if (to - from == 1) continue;
      ties.clear();
      for (i = from; i < to; ++i) ties.push_back(tie_of(items[i]));
      if (std::is_sorted(ties.begin(), ties.end())) continue;
      std::sort(ties.begin(), ties.end());
      for (i = from; i < to; ++i) items[i] = ties[static_cast<std::size_t>(i - from)].item;
    }
    i = end;
  }
}

}  // namespace pyseg::felzenszwalb
