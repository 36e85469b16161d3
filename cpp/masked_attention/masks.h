// What forward and backward share: the mask of each query with the rule for empty ones applied, and which rows come
// next.
#pragma once

#include <algorithm>
#include <vector>

#include "masked_attention/masked_attention.h"

namespace pyseg::masked_attention {

class Masks {
 public:
  template <typename T>
  explicit Masks(const Problem<T>& p) : queries_(p.queries) {
    const std::int64_t size = p.layout.chunks() * kTiles;
    rows_.resize(static_cast<std::size_t>(p.batch * p.queries));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const std::uint16_t* row = p.bits + static_cast<std::int64_t>(i) * size;
      rows_[i] = row;
      if (!p.empty_all || std::any_of(row, row + size, [](std::uint16_t tile) { return tile != 0; })) continue;
      if (full_.empty()) fill(p.layout);
      rows_[i] = full_.data();
    }
  }
  // Those of the queries of image b from `first` on.
  const std::uint16_t* const* of(std::int64_t b, std::int64_t first) const {
    return rows_.data() + b * queries_ + first;
  }

 private:
  void fill(const Layout& layout) {
    full_.assign(static_cast<std::size_t>(layout.chunks() * kTiles + 1), 0);
    for (std::int64_t c = 0; c < layout.chunks(); ++c) {
      for (int t = 0; t < kTiles; ++t) {
        unsigned tile = 0;
        for (int l = 0; l < kKeys; ++l) tile |= (layout.key(c, t, l) >= 0 ? 1u : 0u) << l;
        full_[static_cast<std::size_t>(c * kTiles + t)] = static_cast<std::uint16_t>(tile);
      }
    }
  }

  std::int64_t queries_;
  std::vector<const std::uint16_t*> rows_;
  std::vector<std::uint16_t> full_;
};

// Tiles whose keys and values take 16 KB.
inline int tiles_together(std::int64_t padded) { return static_cast<int>(padded >= 128 ? 1 : 128 / padded); }

// The rows of keys and values after those of head `head + h` in a chunk: of the next head of [head, head + heads), or
// of the next chunk, whose tiles are taken to be these.
inline void next_rows(const Problem<float>& p, std::int64_t b, std::int64_t chunk, unsigned tiles, std::int64_t head,
                      std::int64_t heads, std::int64_t h, std::vector<const float*>& rows) {
  rows.clear();
  const bool last = h + 1 == heads;
  if (last && chunk + 1 >= p.layout.chunks()) return;
  const std::int64_t at = (last ? head : head + h + 1) * p.dim;
  for (int t = 0; t < kTiles; ++t) {
    if ((tiles >> t & 1) == 0) continue;
    for (int l = 0; l < kKeys; ++l) {
      const std::int64_t key = p.layout.key(last ? chunk + 1 : chunk, t, l);
      if (key < 0) continue;
      rows.push_back(p.k.at(b, key) + at);
      rows.push_back(p.v.at(b, key) + at);
    }
  }
}

}  // namespace pyseg::masked_attention
