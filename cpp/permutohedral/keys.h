// Coordinates of a lattice vertex as 64-bit keys, and the tables from keys to vertices.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "permutohedral/permutohedral.h"

namespace pyseg::permutohedral {

// How the first d coordinates of a vertex (the last follows from them) are packed: `bits` each, after adding `bias`, so
// that neighbours need no carry. Up to 64 bits make a group: images in 5-D need one; wide spans and many dimensions
// more.
struct Packing {
  int groups = 1;
  std::array<int, kMostDims> group{}, bits{};
  std::array<std::int32_t, kMostDims> bias{};
};

// [2 * dims]: the least of each feature, then of its negative. Throws where one is not finite.
template <typename T>
std::vector<T> spans(const char* op, std::int64_t blocks, int dims, FeatureBlock<T> features, const Executor& executor);

// Throws where a coordinate is too large for its type to tell simplices apart.
template <typename T>
Packing pack(const char* op, int dims, const T* scale, const T* span);

// From 64-bit keys to their numbers, in the order of arrival. Open addressing, at most a quarter full.
class KeyTable {
 public:
  static constexpr std::uint32_t kNone = ~0u;
  struct Slot {
    std::uint64_t key;
    std::uint32_t id;
    std::uint16_t band, local;  // the row of the vertex in the band at work
  };

  KeyTable() { resize(kSmallest); }

  // The slot of `key`; a new one has the next id, and 0xffff for band and local.
  Slot& insert(std::uint64_t key) {
    if (4 * static_cast<std::size_t>(count_) >= slots_.size()) grow();
    std::size_t i = place(key);
    while (slots_[i].id != kNone && slots_[i].key != key) i = (i + 1) & mask_;
    if (slots_[i].id == kNone) slots_[i] = {key, count_++, 0xffff, 0xffff};
    return slots_[i];
  }
  std::uint32_t find(std::uint64_t key) const {
    std::size_t i = place(key);
    while (slots_[i].id != kNone && slots_[i].key != key) i = (i + 1) & mask_;
    return slots_[i].id;
  }
  void prefetch(std::uint64_t key) const { __builtin_prefetch(&slots_[place(key)]); }

 private:
  static constexpr std::size_t kSmallest = 1024;

  std::size_t place(std::uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull) >> shift_; }
  void resize(std::size_t size) {
    slots_.assign(size, {0, kNone, 0, 0});
    mask_ = size - 1;
    shift_ = 64 - __builtin_ctzll(size);
  }
  void grow() {
    std::vector<Slot> old = std::move(slots_);
    resize(2 * old.size());
    for (const Slot& s : old) {
      if (s.id == kNone) continue;
      std::size_t i = place(s.key);
      while (slots_[i].id != kNone) i = (i + 1) & mask_;
      slots_[i] = s;
    }
  }

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  int shift_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace pyseg::permutohedral
