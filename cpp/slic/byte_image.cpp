// SLIC's 8-bit image: converted to CIELAB bytes, smoothed and laid out in tiles, a few lines at a time while they are
// in cache.
#include "slic/byte_image.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "lab/lab.h"

namespace pyseg::slic {

// One row of pixels: three lines of bytes, `padded` apart.
void ByteImage::load_row(const ImageView& image, bool to_lab, std::int64_t y, std::uint8_t* lines,
                         std::int64_t padded) {
  const auto* in = reinterpret_cast<const std::uint8_t*>(image.row(0, y));
  const std::int64_t step = image.stride[2], channel = image.stride[3];
  if (to_lab) {
    lab::kernels().bytes(in, in + channel, in + 2 * channel, step, image.width(), lines, lines + padded,
                         lines + 2 * padded);
    return;
  }
  for (std::int64_t c = 0; c < image.channels(); ++c)
    for (std::int64_t x = 0; x < image.width(); ++x)  // 0..255 weighs as L's 0..100
      lines[c * padded + x] = static_cast<std::uint8_t>((in[c * channel + x * step] * 200 + 127) / 255);
}

// As load_row(), smoothed along the row; pixels beyond the ends repeat the last.
void ByteImage::load_smooth(const ImageView& image, bool to_lab, std::int64_t y, std::uint8_t* raw, std::uint8_t* lines,
                            std::int64_t padded) {
  const std::int64_t w = width_;
  load_row(image, to_lab, y, raw, padded);
  for (std::int64_t c = 0; c < 3; ++c) {
    std::uint8_t* line = raw + c * padded;
    line[-1] = line[0];
    line[w] = line[w - 1];
    byte_kernels().binomial(line - 1, line, line + 1, w, lines + c * padded);
  }
}

// Four rows of pixels, [3, padded] bytes each, to their places in the tiles.
void ByteImage::scatter(const std::uint8_t* const* rows, std::int64_t padded, std::int64_t y) {
  const std::int64_t t = tile_;
  for (std::int64_t c = 0; c < 3; ++c) {
    const std::uint8_t* in[4] = {rows[0] + c * padded, rows[1] + c * padded, rows[2] + c * padded,
                                 rows[3] + c * padded};
    std::uint8_t* out = planes_.get() + (y / t * tiles_x_ * 3 + c) * t * t;
    if (t == 16) {
      byte_kernels().interleave(in, tiles_x_, out + y % 16 / 4 * 16);
      continue;
    }
    for (std::int64_t r = 0; r < 4; ++r)
      for (std::int64_t tx = 0; tx < tiles_x_; ++tx) std::memcpy(out + tx * 192 + (y % 8 + r) * 8, in[r] + tx * 8, 8);
  }
}

void ByteImage::load(const ImageView& image, const Options& options, int tile, std::int64_t chunks,
                     const Executor& exec) {
  tile_ = tile;
  width_ = image.width();
  height_ = image.height();
  tiles_x_ = (width_ + tile - 1) / tile;
  tiles_y_ = (height_ + tile - 1) / tile;
  const std::int64_t t = tile_, h = height_, padded = (width_ + 63) / 64 * 64 + 128;
  planes_.take(tiles_x_ * tiles_y_ * 3 * t * t);
  const std::int64_t size = 3 * padded;
  if (static_cast<std::int64_t>(lines_.size()) != chunks)
    lines_ = std::vector<Scratch<std::uint8_t>>(static_cast<std::size_t>(chunks));
  exec.each(chunks, [&](std::int64_t chunk) {
    // Lines of three channels: one raw, three smoothed along the row, four done.
    std::uint8_t* lines = lines_[static_cast<std::size_t>(chunk)].take(8 * size + 64);
    std::memset(lines, 0, static_cast<std::size_t>(8 * size + 64));
    lines += 64;
    const auto ring = [&](std::int64_t y) { return lines + (1 + y % 3) * size; };
    std::uint8_t* const done[4] = {lines + 4 * size, lines + 5 * size, lines + 6 * size, lines + 7 * size};
    const std::int64_t begin = tiles_y_ * t * chunk / chunks / t * t;
    const std::int64_t end = tiles_y_ * t * (chunk + 1) / chunks / t * t;
    if (options.binomial() && begin < h)
      for (std::int64_t y = std::max<std::int64_t>(0, begin - 1); y <= begin; ++y)
        load_smooth(image, options.to_lab, y, lines, ring(y), padded);
    for (std::int64_t y = begin; y < end; ++y) {
      if (y < h && !options.binomial()) {
        load_row(image, options.to_lab, y, done[y & 3], padded);
      } else if (y < h) {
        if (y + 1 < h) load_smooth(image, options.to_lab, y + 1, lines, ring(y + 1), padded);
        const std::uint8_t *above = ring(std::max<std::int64_t>(0, y - 1)), *below = ring(std::min(h - 1, y + 1));
        byte_kernels().binomial(above, ring(y), below, size - 128, done[y & 3]);
      }
      if ((y & 3) == 3) scatter(done, padded, y - 3);
    }
  });
}

std::pair<std::int64_t, std::int64_t> ByteImage::lowest_gradient(std::int64_t y, std::int64_t x) const {
  std::pair<std::int64_t, std::int64_t> lowest{0, 0};
  if (x < 2 || y < 2 || x + 2 >= width_ || y + 2 >= height_) return lowest;
  std::uint8_t patch[3][32] = {};
  const std::int64_t area = std::int64_t{tile_} * tile_;
  std::int64_t columns[5];  // of pixel(): what depends on the column alone
  for (int i = 0; i < 5; ++i) columns[i] = pixel(x + i - 2, 0) - pixel(0, 0) - block_of(x + i - 2, 0);
  for (int r = 0; r < 5; ++r) {
    const std::int64_t at = y + r - 2;
    const std::uint8_t* line = pixel(0, at) - block_of(0, at);
    for (int i = 0; i < 5; ++i) {
      const std::uint8_t* p = line + columns[i] + block_of(x + i - 2, at);
      for (int j = 0; j < 3; ++j) patch[j][5 * r + i] = p[j * area];
    }
  }
  std::uint16_t gradient[16] = {};  // of the pixels from (1, 1) on, in the patch's order
  for (const auto& p : patch)
    for (int i = 0; i < 16; ++i)
      gradient[i] =
          static_cast<std::uint16_t>(gradient[i] + std::abs(p[i + 7] - p[i + 5]) + std::abs(p[i + 11] - p[i + 1]));
  int least = 1 << 30;
  for (const int i : {4, 0, 1, 2, 3, 5, 6, 7, 8}) {  // the centre first: in flat places a seed stays
    const int at = i / 3 * 5 + i % 3;
    if (gradient[at] >= least) continue;
    least = gradient[at];
    lowest = {i / 3 - 1, i % 3 - 1};
  }
  return lowest;
}

}  // namespace pyseg::slic
