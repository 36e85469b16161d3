// Rows of float32 that 3x3 stencils may run over in whole vectors.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/workspace.h"

namespace pyseg::turbopixels {

constexpr std::int64_t kGroup = 16;  // pixels that inner loops take at a time; a row has that much room on each side

inline std::int64_t groups(std::int64_t width) { return (width + kGroup - 1) / kGroup; }

// The border's values are repeated outside: row[-1], and row[width] to row[width + 15].
inline void close_row(float* row, std::int64_t width) {
  row[-1] = row[0];
  std::fill_n(row + width, kGroup, row[width - 1]);
}

class Plane {
 public:
  void take(std::int64_t height, std::int64_t width) {
    height_ = height;
    stride_ = (groups(width) + 2) * kGroup;
    values_.take(height * stride_);
  }
  std::int64_t height() const { return height_; }
  std::int64_t stride() const { return stride_; }
  // Rows above and below the image are its first and last.
  float* row(std::int64_t y) const {
    return values_.get() + std::clamp<std::int64_t>(y, 0, height_ - 1) * stride_ + kGroup;
  }
  friend void swap(Plane& a, Plane& b) noexcept {
    swap(a.values_, b.values_);
    std::swap(a.height_, b.height_);
    std::swap(a.stride_, b.stride_);
  }

 private:
  Scratch<float> values_;
  std::int64_t height_ = 0, stride_ = 0;
};

}  // namespace pyseg::turbopixels
