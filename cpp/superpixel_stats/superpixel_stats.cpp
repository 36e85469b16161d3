#include "superpixel_stats/superpixel_stats.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "lab/lab.h"
#include "slic/planes.h"

namespace pyseg::superpixel_stats {
namespace {

// Each band has room for every label: one band where labels are many for the pixels.
constexpr std::int64_t kBands = 8, kMaxChannels = 1 << 16, kFewLabels = 1 << 22;

struct Pair {
  std::uint64_t key;  // a << 32 | b
  std::int64_t count;
};

// Sorts by key and adds up equal ones.
void merge(std::vector<Pair>& pairs) {
  std::sort(pairs.begin(), pairs.end(), [](const Pair& p, const Pair& q) { return p.key < q.key; });
  std::size_t end = 0;
  for (const Pair& p : pairs) {
    if (end > 0 && pairs[end - 1].key == p.key) pairs[end - 1].count += p.count;
    else pairs[end++] = p;
  }
  pairs.resize(end);
}

class Band {
 public:
  Band(const std::int32_t* labels, const ImageView& image, std::int64_t n, std::int32_t start, bool lab)
      : labels_(labels), image_(image), n_(n), start_(start), lab_(lab) {
    unit_ = image.dtype == DType::u8 ? 255.0f : image.dtype == DType::u16 ? 65535.0f : 0.0f;
  }

  void run(std::int64_t begin, std::int64_t end) {
    const auto n = static_cast<std::size_t>(n_), channels = static_cast<std::size_t>(image_.channels());
    area.assign(n, 0);
    position.assign(3 * n, 0);
    box.resize(6 * n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t d = 0; d < 3; ++d) {
        box[6 * i + d] = INT32_MAX;
        box[6 * i + 3 + d] = 0;
      }
    mean.assign(channels * n, 0.0);
    lab.assign(lab_ ? 3 * n : 0, 0.0);
    line_.resize(static_cast<std::size_t>(image_.width()) * std::max<std::size_t>(3, channels));
    for (std::int64_t row = begin; row < end; ++row) {
      shape(row);
      colors(row);
      touch(row);
    }
    merge(pairs);
  }

  std::vector<std::int64_t> area, position;
  std::vector<std::int32_t> box;
  std::vector<double> mean, lab;
  std::vector<Pair> pairs;

 private:
  // Index of a label, or -1 for one outside.
  std::int64_t index(std::int32_t label) const {
    const std::int64_t i = std::int64_t{label} - start_;
    return i >= 0 && i < n_ ? i : -1;
  }

  void shape(std::int64_t row) {
    const std::int64_t at[2] = {row / image_.height(), row % image_.height()};
    const std::int32_t* line = labels_ + row * image_.width();
    for (std::int64_t x = 0; x < image_.width();) {
      std::int64_t end = x + 1;
      while (end < image_.width() && line[end] == line[x]) ++end;
      if (const std::int64_t i = index(line[x]); i >= 0) {
        const std::int64_t length = end - x;
        area[static_cast<std::size_t>(i)] += length;
        std::int64_t* p = position.data() + 3 * i;
        std::int32_t* b = box.data() + 6 * i;
        p[0] += at[0] * length;
        p[1] += at[1] * length;
        p[2] += (x + end - 1) * length / 2;  // an exact half: one of the two factors is even
        for (std::int64_t d = 0; d < 2; ++d) {
          b[d] = std::min(b[d], static_cast<std::int32_t>(at[d]));
          b[3 + d] = std::max(b[3 + d], static_cast<std::int32_t>(at[d] + 1));
        }
        b[2] = std::min(b[2], static_cast<std::int32_t>(x));
        b[5] = std::max(b[5], static_cast<std::int32_t>(end));
      }
      x = end;
    }
  }

  // Adds a line of values; where `unit` is not 0, the integers that they were before they were divided by it.
  void add(const std::int32_t* labels, const float* values, float unit, std::int64_t c, std::int64_t channels,
           std::vector<double>& sums) {
    for (std::int64_t x = 0; x < image_.width(); ++x)
      if (const std::int64_t i = index(labels[x]); i >= 0)
        sums[static_cast<std::size_t>(i * channels + c)] +=
            unit != 0 ? static_cast<double>(std::lrintf(values[x] * unit)) : static_cast<double>(values[x]);
  }

  void colors(std::int64_t row) {
    const auto& kernels = slic::plane_kernels();
    const std::int32_t* labels = labels_ + row * image_.width();
    const std::byte* in = image_.row(row / image_.height(), row % image_.height());
    const std::int64_t w = image_.width(), channels = image_.channels();
    for (std::int64_t c = 0; c < channels; ++c) {
      kernels.convert(in + c * image_.stride[3], static_cast<int>(image_.dtype), image_.stride[2], w,
                      line_.data() + c * w);
      add(labels, line_.data() + c * w, unit_, c, channels, mean);
    }
    if (!lab_) return;
    lab::kernels().floats(line_.data(), line_.data() + w, line_.data() + 2 * w, w);
    for (std::int64_t c = 0; c < 3; ++c) add(labels, line_.data() + c * w, 0.0f, c, 3, lab);
  }

  void count(std::int32_t a, std::int32_t b) {
    if (a == b) return;
    const std::int64_t i = index(std::min(a, b)), j = index(std::max(a, b));
    if (i < 0 || j < 0) return;
    const std::uint64_t key = static_cast<std::uint64_t>(i) << 32 | static_cast<std::uint64_t>(j);
    if (!pairs.empty() && pairs.back().key == key) ++pairs.back().count;
    else pairs.push_back({key, 1});
  }

  // Neighbours to the right, below and behind.
  void touch(std::int64_t row) {
    const std::int64_t w = image_.width(), h = image_.height(), slice = h * w;
    const std::int32_t* line = labels_ + row * w;
    for (std::int64_t x = 0; x + 1 < w; ++x) count(line[x], line[x + 1]);
    if (row % h + 1 < h)
      for (std::int64_t x = 0; x < w; ++x) count(line[x], line[w + x]);
    if (row / h + 1 < image_.depth())
      for (std::int64_t x = 0; x < w; ++x) count(line[x], line[slice + x]);
  }

  const std::int32_t* labels_;
  const ImageView& image_;
  std::int64_t n_;
  std::int32_t start_;
  bool lab_;
  float unit_ = 0;
  std::vector<float> line_;
};

template <typename T>
void add_all(std::vector<T>& sums, const std::vector<T>& more) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += more[i];
}

}  // namespace

Stats superpixel_stats(const std::int32_t* labels, const ImageView& image, std::int64_t n, std::int32_t start_label,
                       bool lab, const Executor& exec) {
  check(n >= 0, "superpixel_stats: n must be >= 0, got ", n);
  check(!lab || image.channels() == 3, "superpixel_stats: CIELAB needs 3 channels, got ", image.channels());
  check(image.channels() >= 1 && image.channels() <= kMaxChannels, "superpixel_stats: image must have 1 .. ",
        kMaxChannels, " channels, got ", image.channels());
  check(n <= std::max(kFewLabels, image.pixels()), "superpixel_stats: n must be at most ",
        std::max(kFewLabels, image.pixels()), ", got ", n);
  const std::int64_t rows = image.depth() * image.height(), count = n > image.pixels() / 16 ? 1 : kBands;
  std::vector<Band> bands(static_cast<std::size_t>(count), Band(labels, image, n, start_label, lab));
  exec.each(count,
            [&](std::int64_t i) { bands[static_cast<std::size_t>(i)].run(rows * i / count, rows * (i + 1) / count); });
  Band& all = bands.front();
  for (std::size_t i = 1; i < bands.size(); ++i) {
    const Band& more = bands[i];
    add_all(all.area, more.area);
    add_all(all.position, more.position);
    add_all(all.mean, more.mean);
    add_all(all.lab, more.lab);
    for (std::size_t j = 0; j < all.box.size(); ++j)
      all.box[j] = j % 6 < 3 ? std::min(all.box[j], more.box[j]) : std::max(all.box[j], more.box[j]);
    all.pairs.insert(all.pairs.end(), more.pairs.begin(), more.pairs.end());
  }
  merge(all.pairs);

  Stats stats;
  stats.center.resize(static_cast<std::size_t>(3 * n));
  const auto channels = static_cast<std::size_t>(image.channels());
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const auto pixels = static_cast<double>(std::max<std::int64_t>(1, all.area[i]));
    for (std::size_t d = 0; d < 3; ++d) stats.center[3 * i + d] = static_cast<double>(all.position[3 * i + d]) / pixels;
    for (std::size_t c = 0; c < channels; ++c) all.mean[channels * i + c] /= pixels;
    for (std::size_t c = 0; lab && c < 3; ++c) all.lab[3 * i + c] /= pixels;
    if (all.area[i] == 0) std::fill_n(all.box.begin() + static_cast<std::ptrdiff_t>(6 * i), 6, 0);
  }
  for (const Pair& p : all.pairs) {
    stats.edges.push_back(start_label + static_cast<std::int32_t>(p.key >> 32));
    stats.edges.push_back(start_label + static_cast<std::int32_t>(p.key & 0xFFFFFFFFu));
    stats.boundary.push_back(p.count);
  }
  stats.area = std::move(all.area);
  stats.box = std::move(all.box);
  stats.mean = std::move(all.mean);
  stats.mean_lab = std::move(all.lab);
  return stats;
}

}  // namespace pyseg::superpixel_stats
