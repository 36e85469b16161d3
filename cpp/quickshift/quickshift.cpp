// Quick shift: checks, densities, parents, segments. See quickshift.h.
#include "quickshift/quickshift.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "core/isa.h"
#include "core/workspace.h"
#include "quickshift/features.h"
#include "quickshift/field.h"
#include "quickshift/forest.h"

namespace pyseg::quickshift {
namespace {

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 31) - 1, kMaxChannels = 1 << 16, kMaxWindow = 1 << 22;

void check_options(const ImageView& image, const Options& o) {
  check_size(image);
  check(std::isfinite(o.ratio) && o.ratio >= 0, "quickshift: ratio must be finite and >= 0, got ", o.ratio);
  check(std::isfinite(o.kernel_size) && o.kernel_size >= 1, "quickshift: kernel_size must be finite and >= 1, got ",
        o.kernel_size);
  check(o.max_dist >= 0, "quickshift: max_dist must be >= 0, got ", o.max_dist);
  check(std::isfinite(o.sigma) && o.sigma >= 0, "quickshift: sigma must be finite and >= 0, got ", o.sigma);
  check(!o.to_lab || image.channels() == 3, "quickshift: convert2lab needs 3 channels, got ", image.channels());
  check(o.start_label >= 0, "quickshift: start_label must be >= 0, got ", o.start_label);
  check(std::int64_t{o.start_label} + image.pixels() <= kMaxPixels,
        "quickshift: start_label + the number of pixels must be at most ", kMaxPixels, ", got start_label ",
        o.start_label);
  for (std::int64_t i = 0; o.noise != nullptr && i < image.pixels(); ++i)
    check(std::isfinite(o.noise[i]), "quickshift: noise must be finite, got ", o.noise[i]);
  if (!o.exact) return;
  check_type(image.dtype == DType::f32 || image.dtype == DType::f64,
             "quickshift: the exact arithmetic is for float32 and float64");
  check(!o.to_lab && o.ratio == 1 && o.sigma == 0 && o.noise != nullptr,
        "quickshift: the exact arithmetic takes the image as it is, and noise");
}

// The largest squared distance that is no farther than max_dist: its root is what counts.
template <typename T>
T limit_of(double max_dist) {
  constexpr T kLargest = std::numeric_limits<T>::max(), kInfinity = std::numeric_limits<T>::infinity();
  const T most = static_cast<T>(std::min(max_dist, static_cast<double>(kLargest)));
  T limit = std::min(most * most, kLargest);
  while (std::sqrt(limit) > most) limit = std::nextafter(limit, T{0});
  while (limit < kLargest && std::sqrt(std::nextafter(limit, kInfinity)) <= most)
    limit = std::nextafter(limit, kInfinity);
  return limit;
}

template <typename T>
class Path {
  static constexpr bool kSingle = std::is_same_v<T, float>;

 public:
  std::int64_t run(const ImageView& image, const Options& options, const Result& result, const Executor& exec);

 private:
  void set_window(const ImageView& image, const Options& options);
  void make_gaussian(const Options& options);
  void make_rings(T limit);
  void sum_pairs(const Options& options, const Executor& exec);
  void sum_rounded(const Options& options, const Executor& exec);
  void link(const Options& options, T limit, const Result& result, const Executor& exec);
  double step() const { return std::ldexp(1.0, bits_); }  // of the densities' fixed point, in a weight of 1
  Key<T>* density() const { return density_.get() + field_.window_x; }

  Features<T> features_;
  Field<T> field_;
  std::int64_t window_y_ = 0, window_x_ = 0;
  int bits_ = 0;
  std::vector<T> space_;
  std::vector<Offset<T>> offsets_;
  std::vector<Ring<T>> rings_;
  Scratch<Key<T>> density_, bands_;
  Scratch<std::int32_t> parent_;
  Scratch<T> squared_;
};

template <typename T>
void Path<T>::set_window(const ImageView& image, const Options& options) {
  // In T, as the exact arithmetic has it.
  const double reach = std::ceil(static_cast<double>(3 * static_cast<T>(std::min(options.kernel_size, 1e9))));
  window_y_ = static_cast<std::int64_t>(std::min(reach, static_cast<double>(image.height() - 1)));
  window_x_ = static_cast<std::int64_t>(std::min(reach, static_cast<double>(image.width() - 1)));
  const std::int64_t area = (2 * window_y_ + 1) * (2 * window_x_ + 1);
  check(area <= kMaxWindow, "quickshift: kernel_size must be such that the window has at most ", kMaxWindow,
        " pixels, got ", options.kernel_size, " and a window of ", 2 * window_y_ + 1, " x ", 2 * window_x_ + 1);
  // The most that the sums have room for, with some left for noise; a double's nearest integer is found up to 2^51.
  bits_ = kSingle ? 24 : 50;
  while (static_cast<double>(area) * step() > (kSingle ? 0x1.fcp30 : 0x1p62)) --bits_;
}

template <typename T>
void Path<T>::make_gaussian(const Options& options) {
  const double factor = -0.5 / (options.kernel_size * options.kernel_size) * 1.4426950408889634;
  space_.resize(static_cast<std::size_t>((window_y_ + 1) * (window_x_ + 1)));
  T* out = space_.data();
  for (std::int64_t y = 0; y <= window_y_; ++y)
    for (std::int64_t x = 0; x <= window_x_; ++x)
      *out++ = static_cast<T>(bits_ + kLogLead[kSingle ? 0 : 1] + factor * static_cast<double>(y * y + x * x));
}

template <typename T>
void Path<T>::make_rings(T limit) {
  offsets_.clear();
  for (std::int64_t y = -window_y_; y <= window_y_; ++y)
    for (std::int64_t x = -window_x_; x <= window_x_; ++x) {
      const T square_y = static_cast<T>(y) * static_cast<T>(y), square_x = static_cast<T>(x) * static_cast<T>(x);
      if ((y != 0 || x != 0) && square_y + square_x <= limit)
        offsets_.push_back({y * field_.stride + x, static_cast<std::int32_t>(y),
                            static_cast<Key<T>>(y * field_.width + x), square_y, square_x});
    }
  const auto squared = [](const Offset<T>& o) { return o.square_y + o.square_x; };
  std::stable_sort(offsets_.begin(), offsets_.end(),
                   [&](const Offset<T>& a, const Offset<T>& b) { return squared(a) < squared(b); });
  rings_.clear();
  for (std::size_t i = 0; i < offsets_.size(); ++i) {
    if (rings_.empty() || rings_.back().squared != squared(offsets_[i]))
      rings_.push_back({squared(offsets_[i]), static_cast<std::int64_t>(i), 0});
    rings_.back().end = static_cast<std::int64_t>(i) + 1;
  }
}

// A band of rows a thread. A band's pairs reach into the rows of the next ones: each has sums of its own for them,
// which are added afterwards.
template <typename T>
void Path<T>::sum_pairs(const Options& options, const Executor& exec) {
  make_gaussian(options);
  const Gaussian<T> gaussian{static_cast<T>(-0.5 / (options.kernel_size * options.kernel_size) * 1.4426950408889634),
                             space_.data()};
  // No more bands than take nine times the memory of one.
  const std::int64_t count =
      std::min<std::int64_t>({exec.threads(), field_.height, 1 + 8 * field_.height / (window_y_ + 1)});
  // The last rows have few or none below to make pairs with, so the last band is larger.
  std::vector<std::int64_t> cut(static_cast<std::size_t>(count + 1), field_.height);
  std::int64_t pairs = 0, all = 0;
  const auto pairs_of = [&](std::int64_t y) { return 2 * std::min(window_y_, field_.height - 1 - y) + 1; };
  for (std::int64_t y = 0; y < field_.height; ++y) all += pairs_of(y);
  cut[0] = 0;
  for (std::int64_t y = 0, band = 1; y < field_.height && band < count; ++y) {
    pairs += pairs_of(y);
    while (band < count && pairs * count >= all * band) cut[static_cast<std::size_t>(band++)] = y + 1;
  }
  Key<T>* bands = bands_.take((field_.height + count * window_y_) * field_.stride);
  const auto start = [&](std::int64_t band) {
    return bands + (cut[static_cast<std::size_t>(band)] + band * window_y_) * field_.stride;
  };
  exec.each(count, [&](std::int64_t band) {
    const std::int64_t begin = cut[static_cast<std::size_t>(band)], end = cut[static_cast<std::size_t>(band + 1)];
    std::fill_n(start(band), (end - begin + window_y_) * field_.stride, Key<T>{0});
    const auto& kernels = density_kernels();
    if constexpr (std::is_same_v<T, float>) kernels.single(field_, gaussian, begin, end, start(band) + window_x_);
    else kernels.twice(field_, gaussian, begin, end, start(band) + window_x_);
  });

  // Noise of 1e-5, scikit-image's, may not vanish in the steps of a wide window.
  const double unit = kSingle ? std::max(step(), 8e5) : step(), most = kSingle ? 0x1p23 : 0x1p61;
  exec.run(field_.height, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      Key<T>* out = density_.get() + y * field_.stride;
      std::fill_n(out, field_.stride, Key<T>{0});
      for (std::int64_t band = 0; band < count; ++band) {
        const std::int64_t first = cut[static_cast<std::size_t>(band)], last = cut[static_cast<std::size_t>(band + 1)];
        if (y < first || y >= last + window_y_) continue;
        const Key<T>* in = start(band) + (y - first) * field_.stride;
        for (std::int64_t x = 0; x < field_.stride; ++x) out[x] += in[x];
      }
      if (options.noise == nullptr) continue;
      for (std::int64_t x = 0; x < field_.width; ++x)
        out[window_x_ + x] +=
            static_cast<Key<T>>(std::rint(std::clamp(options.noise[y * field_.width + x] * unit, -most, most)));
    }
  });
}

// Every pixel for itself: a pair's weight comes at another place in the sums of its two pixels.
template <typename T>
void Path<T>::sum_rounded(const Options& options, const Executor& exec) {
  if constexpr (kSingle) {
    const auto size = static_cast<float>(std::min(options.kernel_size, 1e18));
    const auto factor = static_cast<float>(-0.5 / static_cast<double>(size * size));
    exec.run(field_.height, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y)
        density_kernels().rounded(field_, factor, y, options.noise + y * field_.width, density() + y * field_.stride);
    });
  }
}

template <typename T>
void Path<T>::link(const Options& options, T limit, const Result& result, const Executor& exec) {
  const bool tree = result.parents != nullptr;
  const T farthest = tree ? std::numeric_limits<T>::max() : limit;
  make_rings(farthest);
  const auto count = static_cast<std::int64_t>(rings_.size());
  const Search<T> search{density(), offsets_.data(), rings_.data(), count, farthest, !options.exact};
  T* squared = tree ? squared_.take(field_.height * field_.width) : nullptr;
  exec.run(field_.height, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      const std::int64_t at = y * field_.width;
      std::int32_t* parent = parent_.get() + at;
      T* square = tree ? squared + at : nullptr;
      if constexpr (kSingle) search_kernels().single(field_, search, y, parent, square);
      else search_kernels().twice(field_, search, y, parent, square);
      if (!tree) continue;
      T* distance = static_cast<T*>(result.distances) + at;
      for (std::int64_t x = 0; x < field_.width; ++x) {
        result.parents[at + x] = parent[x];
        distance[x] = parent[x] == at + x ? std::numeric_limits<T>::infinity() : std::sqrt(square[x]);
        if (square[x] > limit) parent[x] = static_cast<std::int32_t>(at + x);
      }
    }
  });
}

template <typename T>
std::int64_t Path<T>::run(const ImageView& image, const Options& options, const Result& result, const Executor& exec) {
  set_window(image, options);
  field_ = features_.load(image, options, window_y_, window_x_, exec);
  density_.take(field_.plane);
  parent_.take(image.pixels());
  if (options.exact && kSingle) sum_rounded(options, exec);
  else sum_pairs(options, exec);
  link(options, limit_of<T>(options.max_dist), result, exec);
  return label_trees(parent_.get(), image.pixels(), options.start_label, options.exact, result.labels);
}

}  // namespace

void check_size(const ImageView& image) {
  double pixels = 1;
  for (std::size_t d = 0; d < 4; ++d) {
    check(image.shape[d] >= 1, "quickshift: image must not be empty, got height ", image.height(), ", width ",
          image.width(), ", channels ", image.channels());
    if (d < 3) pixels *= static_cast<double>(image.shape[d]);
  }
  check(image.depth() == 1, "quickshift: image must be 2-D, got depth ", image.depth());
  check(pixels <= static_cast<double>(kMaxPixels), "quickshift: image must have at most 2^31 - 1 pixels, got ", pixels);
  check(image.channels() <= kMaxChannels, "quickshift: image must have at most ", kMaxChannels, " channels, got ",
        image.channels());
}

std::int64_t quickshift(const ImageView& image, const Options& options, const Result& result, const Executor& exec) {
  (void)isa();  // an unknown PYSEG_ISA is an error here, not in a thread
  check_options(image, options);
  if (options.exact && image.dtype == DType::f64) {
    static thread_local Path<double> path;
    return path.run(image, options, result, exec);
  }
  static thread_local Path<float> path;
  return path.run(image, options, result, exec);
}

}  // namespace pyseg::quickshift
