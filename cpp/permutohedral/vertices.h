// The vertices of one remainder class while a plan is built.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "permutohedral/keys.h"

namespace pyseg::permutohedral {

// Keys of several groups are numbered group by group: the number of the first,
// with that of the second, makes a key of its own, and so on.
struct Class {
  KeyTable table;
  std::vector<KeyTable> parts, joined;  // of groups 1 ..: of the group alone, of all up to the one before it
  std::vector<std::uint64_t> keys;      // [vertices][groups]
  std::vector<std::uint32_t> first;     // [bands + 1] vertices of a band: first[b] .. first[b + 1]
  std::vector<std::uint32_t> count;     // [bands] rows, copies included
  std::vector<std::uint16_t> own;       // [vertices] its row in its band
  struct Copy {
    std::uint32_t vertex;
    std::uint16_t band, local;
  };
  std::vector<Copy> copies;

  std::uint32_t vertices() const { return static_cast<std::uint32_t>(own.size()); }

  std::uint64_t join(const std::uint64_t* key, std::int64_t step, int groups) {
    if (groups == 1) return key[0];
    std::uint64_t id = joined[0].insert(key[0]).id;
    for (int g = 1; g < groups; ++g) {
      const auto i = static_cast<std::size_t>(g);
      const std::uint64_t pair = id << 32 | parts[i].insert(key[g * step]).id;
      if (g + 1 == groups) return pair;
      id = joined[i].insert(pair).id;
    }
    return id;
  }
  std::uint32_t find(const std::uint64_t* key, int groups) const {
    if (groups == 1) return table.find(key[0]);
    std::uint64_t id = joined[0].find(key[0]);
    for (int g = 1;; ++g) {
      const auto i = static_cast<std::size_t>(g);
      const std::uint64_t part = parts[i].find(key[g]);
      if (id == KeyTable::kNone || part == KeyTable::kNone) return KeyTable::kNone;
      const std::uint64_t pair = id << 32 | part;
      if (g + 1 == groups) return table.find(pair);
      id = joined[i].find(pair);
    }
  }
};

constexpr int kPrefetch = 2;  // blocks

struct Entry {  // what entering a class needs of the lattice
  std::int64_t points, classes, band_blocks, group_step;
  int groups;
};

// Enters the points of `blocks` blocks from block `first` on; keys and offset are those of class 0 of these blocks.
inline void enter(Class& c, const Entry& e, std::int64_t first, std::int64_t blocks, const std::uint64_t* keys,
                  std::uint16_t* offset) {
  const std::int64_t step = e.classes * kLanes;
  for (std::int64_t b = 0; b < blocks; ++b, keys += step, offset += step) {
    const auto band = static_cast<int>((first + b) / e.band_blocks);
    if (band == static_cast<int>(c.count.size())) {
      c.first.push_back(c.vertices());
      c.count.push_back(0);
    }
    if (e.groups == 1 && b + kPrefetch < blocks)
      for (int i = 0; i < kLanes; ++i) c.table.prefetch(keys[kPrefetch * step + i]);
    const auto count = static_cast<int>(std::min<std::int64_t>(kLanes, e.points - (first + b) * kLanes));
    for (int i = 0; i < count; ++i) {
      // No look at the point before: that it has the same key is a coin toss, and a wrong guess costs more than the
      // table.
      KeyTable::Slot& slot = c.table.insert(c.join(keys + i, e.group_step, e.groups));
      if (slot.band != band) {
        slot.local = static_cast<std::uint16_t>(c.count.back()++);
        slot.band = static_cast<std::uint16_t>(band);
        if (slot.id == c.vertices()) {
          c.own.push_back(slot.local);
          for (int g = 0; g < e.groups; ++g) c.keys.push_back(keys[g * e.group_step + i]);
        } else {
          c.copies.push_back({slot.id, slot.band, slot.local});
        }
      }
      offset[i] = slot.local;
    }
    for (int i = count; i < kLanes; ++i) offset[i] = 0;
  }
}

}  // namespace pyseg::permutohedral
