// The float path's image: converted, smoothed, in CIELAB where asked for, cut into tiles; and the mask's bits.
#pragma once

#include <cstdint>
#include <utility>

#include "core/parallel.h"
#include "core/view.h"
#include "core/workspace.h"
#include "slic/planes.h"
#include "slic/slic.h"

namespace pyseg::slic {

class PlaneImage {
 public:
  // Returns the number of pixels inside. Throws where a value is NaN or infinite. Values: CIELAB, or 0..100 for a
  // channel's full range (floats: [0, 1]), the scale of CIELAB's L, so that compactness means the same for all.
  std::int64_t load(const ImageView& image, const MaskView& mask, const Options& options, const Executor& exec);

  std::int64_t tiles_x() const { return tiles_x_; }
  std::int64_t tiles_y() const { return tiles_y_; }
  const float* tile(std::int64_t row, std::int64_t tx) const {
    return tiles_.get() + (row * tiles_x_ + tx) * channels_ * kArea;
  }
  const std::uint16_t* inside_tile(std::int64_t row, std::int64_t tx) const {
    return inside_.get() + (row * tiles_x_ + tx) * kSide;
  }
  bool empty_tile(std::int64_t row, std::int64_t tx) const;
  float at(std::int64_t z, std::int64_t y, std::int64_t x, std::int64_t c) const {
    return tile(z * tiles_y_ + y / kSide,
                x / kSide)[c * kArea + place_of(static_cast<int>(x % kSide), static_cast<int>(y % kSide))];
  }
  bool inside(std::int64_t z, std::int64_t y, std::int64_t x) const {
    return inside_tile(z * tiles_y_ + y / kSide, x / kSide)[y % kSide] >> (x % kSide) & 1;
  }
  // Scale of the fixed-point sums: a power of two that brings the largest magnitude under 2^26.
  float fixed() const { return fixed_; }
  // (dy, dx) to the lowest gradient in 3x3 around a pixel; (0, 0) near the border.
  std::pair<std::int64_t, std::int64_t> lowest_gradient(std::int64_t z, std::int64_t y, std::int64_t x) const;

 private:
  float load_row(const ImageView& image, const Options& options, std::int64_t row, int r, float* lines);
  void smooth(const ImageView& image, const Options& options, const Executor& exec);
  void smooth_axis(const ImageView& image, std::int64_t planes, int axis, double sigma, const Executor& exec);
  void load_mask(const ImageView& image, const MaskView& mask, const Executor& exec);

  std::int64_t tiles_x_ = 0, tiles_y_ = 0, channels_ = 0, height_ = 0, width_ = 0;
  float fixed_ = 1;
  bool smoothed_ = false, masked_ = false;
  Scratch<float> tiles_;           // [rows of tiles, tiles_x, channels, kArea]
  Scratch<float> planes_, other_;  // [channels, depth, height, width], where smoothed
  Scratch<std::uint16_t> inside_;  // [rows of tiles, tiles_x, kSide]
};

}  // namespace pyseg::slic
