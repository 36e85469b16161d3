// SLIC on bytes: the 8-bit path's data layout and the table of its inner loops.
//
// The image is cut into tiles of 16x16 pixels (8x8 where superpixels are small), each three planes of bytes: L, a, b at
// twice their value, a and b about 128. The distance of a pixel to a centre is
//     min(255, |L - l| + |a - a'| + |b - b'| + sx + sy),   sx = |16 x - cx| * W >> 16,
// in integers throughout, with the centre's position in 1/16 pixel: results cannot depend on threads or instruction
// set. A tile of 16 keeps pixel (x, y) in block (y - x) % 4, row y / 4: each block of 64 bytes holds a quarter of every
// row and column, and a pass that looks at one block samples the tile evenly.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::slic {

constexpr int kSub = 16;  // positions are in 1/16 pixel

struct ByteCenter {
  std::int32_t x, y;  // 1/16 pixel
  std::uint8_t color[4];
};

struct ByteSums {
  std::int64_t count, l, a, b, x, y;
};

// What a pass needs of a centre, made when the centre moves; the spatial terms of its columns, 16 bytes for each tile
// that its window touches, lie apart.
struct ByteView {
  std::uint32_t color[3];  // four copies of a byte: a broadcast of 32 bits costs nothing
  std::int32_t x0, x1;     // tiles
};

// A centre as one row of tiles sees it.
struct ByteCandidate {
  std::uint8_t dy[16];  // spatial term of each of the tile row's rows
  std::uint32_t color[3];
  std::int32_t center;
  const std::uint8_t* dx;  // spatial terms of the columns: 16 bytes a tile, from tile 0 on
};

// Scratch for one row of tiles.
struct ByteRow {
  ByteCandidate* candidates;  // [centres]
  std::int32_t* list;         // [tiles_x, list_stride] indices into candidates, in the centres' order
  std::int32_t* counts;       // [tiles_x]
  std::int64_t list_stride;
};

struct ByteGrid {
  std::int64_t width, height, tiles_x, tiles_y;
  int tile;             // 16 or 8
  int span;             // tiles that a window can touch in a row
  std::int32_t reach;   // the search window: centres within +-reach (1/16 pixel) of a tile
  std::int32_t weight;  // W
  const std::uint8_t* planes;

  std::int64_t area_of_tile() const { return std::int64_t{tile} * tile; }
};

struct ByteKernels {
  // out = avg(avg(a, c), b), avg rounding up: (1 2 1) / 4 for three neighbours.
  void (*binomial)(const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* c, std::int64_t count,
                   std::uint8_t* out);
  // Makes the view of each of centers[begin, end), and its columns' spatial terms at dx + 16 * span * k.
  void (*view)(const ByteGrid& grid, const ByteCenter* centers, std::int64_t begin, std::int64_t end, ByteView* views,
               std::uint8_t* dx);
  // Adds the candidates of tile row ty among centers[begin, end) to `row`, which has `used`; returns how many it has
  // then.
  std::int64_t (*collect)(const ByteGrid& grid, std::int64_t ty, const ByteCenter* centers, const ByteView* views,
                          const std::uint8_t* dx, std::int64_t begin, std::int64_t end, std::int64_t used,
                          ByteRow& row);
  // A plane's four rows of pixels to their places in the blocks of 16x16 tiles; rows have room for a multiple of 64.
  void (*interleave)(const std::uint8_t* const* rows, std::int64_t tiles, std::uint8_t* out);
  // One pass over tile tx, or over its block `block` (negative: all): nearest candidate, and its sums.
  void (*assign)(const ByteGrid& grid, std::int64_t ty, std::int64_t tx, const ByteRow& row, int block, ByteSums* sums);
  // The nearest candidate (its place in the tile's list) of each pixel of a tile, [tile, tile] in raster order.
  void (*label)(const ByteGrid& grid, std::int64_t tx, std::int64_t ty, const ByteRow& row, std::uint8_t* place);
};

PYSEG_DISPATCH(ByteKernels, byte_kernels)

}  // namespace pyseg::slic
