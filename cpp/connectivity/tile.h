// Inner loops of connectivity on one tile.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::connectivity {

struct TileKernels {
  // Bit i of same_left / same_up: byte i equals byte i - 1 / i - tile. `bytes` [tile * tile], 64 readable before it.
  void (*compare)(const std::uint8_t* bytes, int tile, std::uint64_t* same_left, std::uint64_t* same_up);
  // bytes[i] = table[bytes[i]] for `count` bytes (a multiple of 64); values are below `entries`.
  void (*translate)(std::uint8_t* bytes, int count, const std::uint8_t* table, int entries);
  // Bit i: table[bytes[i]] is not zero. As translate().
  void (*select)(const std::uint8_t* bytes, int count, const std::uint8_t* table, int entries, std::uint64_t* bits);
  // out[i] = table[bytes[i]], i < count; values are below `entries`, `table` has room for 32.
  void (*expand)(const std::uint8_t* bytes, int count, const std::int32_t* table, int entries, std::int32_t* out);
};

PYSEG_DISPATCH(TileKernels, tile_kernels)

}  // namespace pyseg::connectivity
