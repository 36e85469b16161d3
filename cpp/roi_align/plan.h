// Where the samples of each box lie: a list of rows and one of columns.
#pragma once

#include <cstdint>
#include <vector>

#include "roi_align/kernels.h"

namespace pyseg::roi_align {

constexpr std::int64_t kBlock = 16;  // pixels of a row that are turned around together

template <typename T>
class Plan {
 public:
  Plan(const Shape& shape, const Boxes& boxes, const Options& options);

  // The boxes of image b, as numbers from `first`.
  std::int64_t first(std::int64_t b) const { return first_[static_cast<std::size_t>(b)]; }
  std::int64_t end(std::int64_t b) const { return first_[static_cast<std::size_t>(b) + 1]; }
  // The place of box i of all images' in the list that was given.
  std::int64_t place(std::int64_t i) const { return order_[static_cast<std::size_t>(i)]; }
  Box<T> box(std::int64_t i) const;
  // Of all boxes together.
  double samples() const { return total_; }
  // Pixels of the blocks that boxes read.
  double touched() const;

  // Calls visit(y, x begin, x end) for the runs of blocks that boxes of image b read, and skip(...) for the others.
  template <typename Visit, typename Skip>
  void runs(std::int64_t b, Visit visit, Skip skip) const;

 private:
  void place_boxes(const T* values, const Shape& shape, std::int64_t count);
  void mark(std::int64_t i, std::int64_t b);

  struct Entry {
    std::int64_t y, x, y_start, x_start;  // places in samples_ and starts_
    T count;
  };
  double total_ = 0;
  std::int64_t height_, width_, bins_y_, bins_x_, words_;
  std::vector<std::int64_t> first_, order_;
  std::vector<Sample<T>> samples_;
  std::vector<std::int32_t> starts_;
  std::vector<Entry> entries_;
  std::vector<std::uint64_t> touched_, line_;  // a bit a block: [batch][height][words]
};

template <typename T>
Box<T> Plan<T>::box(std::int64_t i) const {
  const Entry& e = entries_[static_cast<std::size_t>(i)];
  return {samples_.data() + e.y,
          samples_.data() + e.x,
          starts_.data() + e.y_start,
          starts_.data() + e.x_start,
          bins_y_,
          bins_x_,
          e.count};
}

template <typename T>
template <typename Visit, typename Skip>
void Plan<T>::runs(std::int64_t b, Visit visit, Skip skip) const {
  const std::int64_t blocks = (width_ + kBlock - 1) / kBlock;
  for (std::int64_t y = 0; y < height_; ++y) {
    const std::uint64_t* bits = touched_.data() + (b * height_ + y) * words_;
    const auto is = [&](std::int64_t k) { return (bits[k / 64] >> (k % 64) & 1) != 0; };
    for (std::int64_t k = 0; k < blocks;) {
      const std::int64_t begin = k;
      const bool here = is(k);
      while (k < blocks && is(k) == here) ++k;
      const std::int64_t end = k * kBlock < width_ ? k * kBlock : width_;
      if (here) visit(y, begin * kBlock, end);
      else skip(y, begin * kBlock, end);
    }
  }
}

}  // namespace pyseg::roi_align
