// A set of pairs of a tile's pixels: a hash table as small as its contents allow, emptied at the cost of what is in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pyseg::felzenszwalb {

class Pairs {
 public:
  void clear() {
    for (const std::uint32_t slot : used_) slots_[slot] = 0;
    used_.clear();
  }

  // False where it is there. a != b, both below 2^16.
  bool add(std::uint32_t a, std::uint32_t b) {
    const std::uint32_t key = std::min(a, b) << 16 | std::max(a, b);  // never 0
    std::size_t slot = first_slot(key);
    for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1))
      if (slots_[slot] == key) return false;
    put(slot, key);
    if (2 * used_.size() > slots_.size()) grow();
    return true;
  }

 private:
  std::size_t first_slot(std::uint32_t key) const { return key * 0x9E3779B1u >> shift_; }
  void put(std::size_t slot, std::uint32_t key) {
    slots_[slot] = key;
    used_.push_back(static_cast<std::uint32_t>(slot));
  }
  void grow() {
    std::vector<std::uint32_t> keys;
    for (const std::uint32_t slot : used_) keys.push_back(slots_[slot]);
    slots_.assign(2 * slots_.size(), 0);
    --shift_;
    used_.clear();
    for (const std::uint32_t key : keys) {
      std::size_t slot = first_slot(key);
      while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
      put(slot, key);
    }
  }

  int shift_ = 20;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(1 << 12), used_;  // keys; where there are any
};

}  // namespace pyseg::felzenszwalb
