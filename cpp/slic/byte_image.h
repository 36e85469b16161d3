// SLIC's 8-bit image: three planes of bytes in tiles; see bytes.h for the layout.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "core/view.h"
#include "core/workspace.h"
#include "slic/bytes.h"
#include "slic/slic.h"

namespace pyseg::slic {

class ByteImage {
 public:
  // `chunks`: in how many pieces the rows are loaded.
  void load(const ImageView& image, const Options& options, int tile, std::int64_t chunks, const Executor& exec);

  const std::uint8_t* planes() const { return planes_.get(); }
  // The first plane's byte of a pixel; the others are tile * tile apart.
  const std::uint8_t* pixel(std::int64_t x, std::int64_t y) const {
    if (tile_ == 8) return planes_.get() + ((y >> 3) * tiles_x_ + (x >> 3)) * 192 + (y & 7) * 8 + (x & 7);
    return planes_.get() + ((y >> 4) * tiles_x_ + (x >> 4)) * 768 + block_of(x, y) + ((y & 15) >> 2) * 16 + (x & 15);
  }
  // (dy, dx) to the lowest gradient in 3x3 around a pixel; (0, 0) near the border.
  std::pair<std::int64_t, std::int64_t> lowest_gradient(std::int64_t y, std::int64_t x) const;

 private:
  // Where a pixel's block of a tile begins.
  std::int64_t block_of(std::int64_t x, std::int64_t y) const { return tile_ == 16 ? ((y - x) & 3) * 64 : 0; }
  void load_row(const ImageView& image, bool to_lab, std::int64_t y, std::uint8_t* lines, std::int64_t padded);
  void load_smooth(const ImageView& image, bool to_lab, std::int64_t y, std::uint8_t* raw, std::uint8_t* lines,
                   std::int64_t padded);
  void scatter(const std::uint8_t* const* rows, std::int64_t padded, std::int64_t y);

  int tile_ = 16;
  std::int64_t width_ = 0, height_ = 0, tiles_x_ = 0, tiles_y_ = 0;
  Scratch<std::uint8_t> planes_;              // [tiles_y, tiles_x, 3, tile * tile]
  std::vector<Scratch<std::uint8_t>> lines_;  // a chunk's lines in the making
};

}  // namespace pyseg::slic
