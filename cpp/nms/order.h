// Places in the descending order of their scores: equal ones as they come, NaN first. By radix.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace pyseg::nms {

template <typename T>
using KeyOf = std::conditional_t<std::is_same_v<T, float>, std::uint32_t, std::uint64_t>;

// Ascending keys of descending scores.
template <typename T>
KeyOf<T> key_of(T score) {
  using Key = KeyOf<T>;
  if (score != score) return 0;
  score += T(0);  // -0 is 0
  Key bits;
  std::memcpy(&bits, &score, sizeof bits);
  constexpr Key kSign = Key{1} << (sizeof(Key) * 8 - 1);
  return static_cast<Key>(~((bits & kSign) != 0 ? ~bits : bits | kSign));
}

template <typename T>
std::vector<std::int64_t> descending(const T* scores, std::int64_t count) {
  using Key = KeyOf<T>;
  using Item = std::pair<Key, std::int64_t>;
  constexpr int kBits = 11, kPasses = (sizeof(Key) * 8 + kBits - 1) / kBits;
  constexpr Key kMask = (Key{1} << kBits) - 1;
  std::vector<Item> items(static_cast<std::size_t>(count)), next(items.size());
  std::vector<std::array<std::int64_t, kMask + 1>> counts(kPasses);
  for (std::int64_t i = 0; i < count; ++i) {
    const Key key = key_of(scores[i]);
    items[static_cast<std::size_t>(i)] = {key, i};
    for (int p = 0; p < kPasses; ++p) ++counts[static_cast<std::size_t>(p)][key >> (p * kBits) & kMask];
  }
  for (int p = 0; p < kPasses; ++p) {
    auto& start = counts[static_cast<std::size_t>(p)];
    std::int64_t sum = 0;
    for (std::int64_t& n : start) sum += std::exchange(n, sum);
    for (const Item& item : items) next[static_cast<std::size_t>(start[item.first >> (p * kBits) & kMask]++)] = item;
    items.swap(next);
  }
  std::vector<std::int64_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = items[i].second;
  return order;
}

}  // namespace pyseg::nms
