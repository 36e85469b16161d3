// Inner loops of connectivity on one tile.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::connectivity {

// Components of one tile, provisional: those that were united share a root, which is the smallest of them.
struct TileParts {
  std::uint8_t parent[257];
  std::int32_t size[257];
  std::uint8_t at[257];  // first pixel
  int count = 0;

  std::uint8_t find(std::uint8_t i) const {
    while (parent[i] != i) i = parent[i];
    return i;
  }
};

struct TileKernels {
  // Cuts a tile into components of equal bytes among the pixels inside: out[i] is the part of pixel i. 64 bytes before
  // `bytes`, and 16 before and after `out`, are there.
  void (*label)(const std::uint8_t* bytes, const std::uint16_t* inside, int tile, TileParts& parts, std::uint8_t* out);
  // Bit i of same_left / same_up: byte i equals byte i - 1 / i - tile. `bytes` [tile * tile], 64 readable before it.
  void (*compare)(const std::uint8_t* bytes, int tile, std::uint64_t* same_left, std::uint64_t* same_up);
  // bytes[i] = table[bytes[i]] for `count` bytes (a multiple of 64); values are below `entries`.
  void (*translate)(std::uint8_t* bytes, int count, const std::uint8_t* table, int entries);
  // Bit x of rows[r]: table[byte (r, x)] is not zero. As translate().
  void (*select)(const std::uint8_t* bytes, int tile, const std::uint8_t* table, int entries, std::uint16_t* rows);
  // Bit i of 16: the pair (a[i], b[i]) differs from the pair before it. Bit 0 is set.
  unsigned (*changes)(const std::uint8_t* a, const std::uint8_t* b);
  // out[i] = table[bytes[i]], i < count; values are below `entries`, `table` has room for 32.
  void (*expand)(const std::uint8_t* bytes, int count, const std::int32_t* table, int entries, std::int32_t* out);
};

PYSEG_DISPATCH(TileKernels, tile_kernels)

}  // namespace pyseg::connectivity
