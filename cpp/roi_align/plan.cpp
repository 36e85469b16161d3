// The lists of samples, in torchvision's arithmetic; see plan.h.
#include "roi_align/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/check.h"

namespace pyseg::roi_align {

namespace {

// A box along one axis, in pixels of the map.
template <typename T>
struct Extent {
  T begin, bin, grid;  // where it begins, the length of a bin, samples a bin (a whole number, perhaps infinite or NaN)

  T at(std::int64_t bin_index, T sample) const { return begin + static_cast<T>(bin_index) * bin + sample * bin / grid; }
};

// torchvision adds the half in float32.
template <typename T>
T middle(std::int64_t sample) {
  return static_cast<T>(static_cast<float>(sample) + 0.5f);
}

template <typename T>
Extent<T> extent(T low, T high, std::int64_t bins, const Options& o) {
  const T offset = o.aligned ? T(0.5) : T(0), scale = static_cast<T>(o.scale);
  const T begin = low * scale - offset, end = high * scale - offset;
  T length = end - begin;
  if (!o.aligned && length < T(1)) length = T(1);
  const T grid = o.sampling > 0 ? static_cast<T>(o.sampling) : std::ceil(length / static_cast<T>(bins));
  return {begin, length / static_cast<T>(bins), grid};
}

// The first sample in [0, count) for which `rule` holds; it does for all after that.
template <typename Rule>
std::int64_t first_that(std::int64_t count, Rule rule) {
  std::int64_t low = 0, high = count;
  while (low < high) {
    const std::int64_t at = low + (high - low) / 2;
    if (rule(at)) high = at;
    else low = at + 1;
  }
  return low;
}

template <typename T>
Sample<T> sample_at(T v, std::int64_t pixels) {
  if (v <= T(0)) v = T(0);
  auto low = static_cast<std::int32_t>(v);
  std::int32_t high = low + 1;
  if (low >= pixels - 1) {
    low = high = static_cast<std::int32_t>(pixels - 1);
    v = static_cast<T>(low);
  }
  const T above = v - static_cast<T>(low);
  return {low, high, T(1) - above, above};
}

constexpr double kMostSamples = 1e18;  // beyond, a box is not finite in any sense

// Appends the samples that lie within [-1, pixels], bin by bin.
template <typename T>
void append(const Extent<T>& e, std::int64_t bins, std::int64_t pixels, std::vector<Sample<T>>& samples,
            std::vector<std::int32_t>& starts) {
  const std::size_t base = samples.size();
  starts.push_back(0);
  const double grid = static_cast<double>(e.grid);
  const bool sane = std::isfinite(e.begin) && std::isfinite(e.bin) && grid >= 1 && grid <= kMostSamples;
  const auto count = sane ? static_cast<std::int64_t>(grid) : 0;
  for (std::int64_t i = 0; i < bins; ++i) {
    // Places grow with the sample (fall, in a box turned inside out): rounding keeps their order.
    const auto at = [&](std::int64_t k) { return e.at(i, middle<T>(k)); };
    const auto top = static_cast<T>(pixels);
    const bool grows = e.bin >= T(0);
    const std::int64_t begin = first_that(count, [&](std::int64_t k) { return grows ? at(k) >= T(-1) : at(k) <= top; });
    const std::int64_t end = first_that(count, [&](std::int64_t k) { return grows ? at(k) > top : at(k) < T(-1); });
    for (std::int64_t k = begin; k < end; ++k) samples.push_back(sample_at(at(k), pixels));
    starts.push_back(static_cast<std::int32_t>(samples.size() - base));
  }
}

}  // namespace

template <typename T>
Plan<T>::Plan(const Shape& shape, const Boxes& boxes, const Options& o)
    : height_(shape.height),
      width_(shape.width),
      bins_y_(o.height),
      bins_x_(o.width),
      words_(((shape.width + kBlock - 1) / kBlock + 63) / 64) {
  const auto* values = static_cast<const T*>(boxes.values);
  place_boxes(values, shape, boxes.count);
  touched_.assign(static_cast<std::size_t>(shape.batch * height_ * words_), 0);
  line_.resize(static_cast<std::size_t>(words_));
  entries_.resize(static_cast<std::size_t>(boxes.count));
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t i = first(b); i < end(b); ++i) {
      const T* box = values + place(i) * 5;
      const Extent<T> y = extent(box[2], box[4], bins_y_, o), x = extent(box[1], box[3], bins_x_, o);
      Entry& e = entries_[static_cast<std::size_t>(i)];
      const auto append_axis = [&](const Extent<T>& axis, std::int64_t bins, std::int64_t pixels, std::int64_t& sample,
                                   std::int64_t& start) {
        sample = static_cast<std::int64_t>(samples_.size());
        start = static_cast<std::int64_t>(starts_.size());
        append(axis, bins, pixels, samples_, starts_);
      };
      append_axis(y, bins_y_, height_, e.y, e.y_start);
      append_axis(x, bins_x_, width_, e.x, e.x_start);
      const double count = static_cast<double>(y.grid) * static_cast<double>(x.grid);
      e.count = count > 1 ? static_cast<T>(count) : T(1);
      mark(i, b);
    }
  }
}

// Sorts the boxes by their images, else in the order given.
template <typename T>
void Plan<T>::place_boxes(const T* values, const Shape& shape, std::int64_t count) {
  first_.assign(static_cast<std::size_t>(shape.batch) + 1, 0);
  std::vector<std::int64_t> image(static_cast<std::size_t>(count));
  for (std::int64_t k = 0; k < count; ++k) {
    const T value = values[k * 5];
    check(value > T(-1) && value < static_cast<T>(shape.batch), "roi_align: a box's place in the batch must be 0 .. ",
          shape.batch - 1, ", got ", value);
    image[static_cast<std::size_t>(k)] = static_cast<std::int64_t>(value);
    ++first_[static_cast<std::size_t>(image[static_cast<std::size_t>(k)]) + 1];
  }
  for (std::size_t b = 1; b < first_.size(); ++b) first_[b] += first_[b - 1];
  std::vector<std::int64_t> next(first_.begin(), first_.end() - 1);
  order_.resize(static_cast<std::size_t>(count));
  for (std::int64_t k = 0; k < count; ++k)
    order_[static_cast<std::size_t>(next[static_cast<std::size_t>(image[static_cast<std::size_t>(k)])]++)] = k;
}

// Sets the bits of the blocks that box i reads.
template <typename T>
void Plan<T>::mark(std::int64_t i, std::int64_t b) {
  const Box<T> box = this->box(i);
  const std::int32_t rows = box.y_start[bins_y_], columns = box.x_start[bins_x_];
  total_ += static_cast<double>(rows) * columns;
  std::fill(line_.begin(), line_.end(), 0);
  for (std::int32_t k = 0; k < columns; ++k)
    for (const std::int32_t x : {box.x[k].low, box.x[k].high})
      line_[static_cast<std::size_t>(x / kBlock / 64)] |= std::uint64_t{1} << (x / kBlock % 64);
  for (std::int32_t k = 0; k < rows; ++k)
    for (const std::int32_t y : {box.y[k].low, box.y[k].high})
      for (std::int64_t w = 0; w < words_; ++w)
        touched_[static_cast<std::size_t>((b * height_ + y) * words_ + w)] |= line_[static_cast<std::size_t>(w)];
}

template <typename T>
double Plan<T>::touched() const {
  std::int64_t blocks = 0;
  for (const std::uint64_t bits : touched_) blocks += std::popcount(bits);
  return static_cast<double>(blocks * kBlock);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace pyseg::roi_align
