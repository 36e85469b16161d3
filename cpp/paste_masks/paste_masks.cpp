// Where the pixels of the image lie in a mask, and the rows; see paste_masks.h.
#include "paste_masks/paste_masks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/pages.h"

namespace pyseg::paste_masks {

namespace {

// Pixels [begin, end) of the image along one axis: each between two places of the mask, of which 0 and size + 1 are the
// zeros around it.
struct Axis {
  std::int64_t begin = 0, end = 0;
  std::vector<std::int32_t> low, high;
  std::vector<float> at_low, at_high;

  std::int64_t count() const { return end - begin; }
  void start(std::int64_t from, std::int64_t to) {
    begin = from;
    end = std::max(from, to);
    low.clear();
    high.clear();
    at_low.clear();
    at_high.clear();
  }
  void add(std::int64_t first, std::int64_t second, float weight) {
    low.push_back(static_cast<std::int32_t>(first));
    high.push_back(static_cast<std::int32_t>(second));
    at_low.push_back(1.0f - weight);
    at_high.push_back(weight);
  }
};

std::int64_t within(double v, std::int64_t low, std::int64_t high) {
  return static_cast<std::int64_t>(std::clamp(v, static_cast<double>(low), static_cast<double>(high)));
}

// Pixels as grid_sample reads them, in float32.
void exact_axis(double box_low, double box_high, std::int64_t size, std::int64_t pixels, Axis& axis) {
  axis.start(within(std::floor(box_low) - 1, 0, pixels), within(std::ceil(box_high) + 1, 0, pixels));
  const auto a = static_cast<float>(box_low), b = static_cast<float>(box_high), n = static_cast<float>(size);
  for (std::int64_t i = axis.begin; i < axis.end; ++i) {
    const float t = (static_cast<float>(i) + 0.5f - a) / (b - a) * 2.0f - 1.0f;
    const float at = ((t + 1.0f) * n - 1.0f) / 2.0f, low = std::floor(at);
    if (!(low >= -1.0f && low < n)) axis.add(0, 0, 0.0f);  // NaN too
    else axis.add(static_cast<std::int64_t>(low) + 1, static_cast<std::int64_t>(low) + 2, at - low);
  }
}

// The box grown by the border and cut to whole pixels, in the boxes' arithmetic; then pixels as interpolate reads them.
template <typename T>
void whole_axis(T box_low, T box_high, std::int64_t size, std::int64_t side, std::int64_t pixels, Axis& axis) {
  const T scale = static_cast<T>(static_cast<double>(side + 2) / static_cast<double>(side));
  const T half = (box_high - box_low) * T(0.5) * scale, center = (box_high + box_low) * T(0.5);
  constexpr std::int64_t kFar = std::int64_t{1} << 52;
  const auto first = within(static_cast<double>(std::trunc(center - half)), -kFar, kFar);
  const auto last = within(static_cast<double>(std::trunc(center + half)), -kFar, kFar);
  const std::int64_t length = std::max<std::int64_t>(last - first + 1, 1);
  axis.start(std::clamp<std::int64_t>(first, 0, pixels), std::clamp<std::int64_t>(last + 1, 0, pixels));
  const float step = static_cast<float>(size + 2) / static_cast<float>(length);
  for (std::int64_t i = axis.begin; i < axis.end; ++i) {
    const float at = std::max(step * (static_cast<float>(i - first) + 0.5f) - 0.5f, 0.0f);
    const std::int64_t low = std::min(static_cast<std::int64_t>(at), size + 1);
    const float weight = std::min(at - static_cast<float>(low), 1.0f);
    axis.add(low, std::min(low + 1, size + 1), weight);
  }
}

template <typename T>
bool make_axes(const Problem& p, std::int64_t i, Axis& y, Axis& x) {
  const T* box = static_cast<const T*>(p.boxes) + i * 4;
  for (int k = 0; k < 4; ++k)
    if (!std::isfinite(box[k])) return false;
  if (p.convention == Convention::exact) {
    exact_axis(box[1], box[3], p.mask_height, p.height, y);
    exact_axis(box[0], box[2], p.mask_width, p.width, x);
  } else {
    whole_axis(box[1], box[3], p.mask_height, p.mask_width, p.height, y);
    whole_axis(box[0], box[2], p.mask_width, p.mask_width, p.width, x);
  }
  return y.count() > 0 && x.count() > 0;
}

// What a thread keeps from mask to mask.
struct Work {
  Axis y, x;
  std::vector<float> row, stretched;  // a row of the mask between zeros; [mask_height + 2][width of the box]

  // The rows of the mask that the box's pixels read, stretched.
  void stretch(const Problem& p, std::int64_t i, const Kernels& k) {
    const auto [low, high] = std::minmax_element(y.low.begin(), y.low.end());
    const auto [low2, high2] = std::minmax_element(y.high.begin(), y.high.end());
    row.assign(static_cast<std::size_t>(p.mask_width + 2), 0.0f);
    stretched.resize(static_cast<std::size_t>((p.mask_height + 2) * x.count()));
    for (std::int64_t m = std::min(*low, *low2); m <= std::max(*high, *high2); ++m) {
      float* out = stretched.data() + m * x.count();
      if (m == 0 || m == p.mask_height + 1) {
        std::fill_n(out, x.count(), 0.0f);
        continue;
      }
      std::copy_n(p.masks + (i * p.mask_height + m - 1) * p.mask_width, p.mask_width, row.data() + 1);
      k.stretch(row.data(), x.low.data(), x.high.data(), x.at_low.data(), x.at_high.data(), x.count(), out);
    }
  }
};

// draw(a, b, weights, count, out) makes a row of the box.
template <typename Value, typename Draw>
void paste_all(const Problem& p, Value* out, const Executor& exec, Draw draw) {
  check(p.mask_height >= 1 && p.mask_width >= 1 && p.mask_height < 1 << 24 && p.mask_width < 1 << 24,
        "paste_masks: masks must have 1 .. 2^24 - 1 rows and columns, got ", p.mask_height, " x ", p.mask_width);
  check(p.height < std::int64_t{1} << 31 && p.width < std::int64_t{1} << 31,
        "paste_masks: image_size must be below 2^31, got ", p.height, " x ", p.width);
  prefer_huge_pages(out, p.count * p.height * p.width * static_cast<std::int64_t>(sizeof(Value)));
  const Kernels& k = kernels();
  exec.run(p.count, 1, [&](std::int64_t begin, std::int64_t end) {
    Work w;
    for (std::int64_t i = begin; i < end; ++i) {
      Value* image = out + i * p.height * p.width;
      Value* done = image;  // everything before is written
      const auto clear = [&](Value* to) {
        std::memset(done, 0, static_cast<std::size_t>(to - done) * sizeof(Value));
        done = to;
      };
      if (p.wide ? make_axes<double>(p, i, w.y, w.x) : make_axes<float>(p, i, w.y, w.x)) {
        w.stretch(p, i, k);
        const std::int64_t count = w.x.count();
        for (std::int64_t y = w.y.begin; y < w.y.end; ++y) {
          const auto at = static_cast<std::size_t>(y - w.y.begin);
          clear(image + y * p.width + w.x.begin);
          draw(k, w.stretched.data() + w.y.low[at] * count, w.stretched.data() + w.y.high[at] * count, w.y.at_low[at],
               w.y.at_high[at], count, done);
          done += count;
        }
      }
      clear(image + p.height * p.width);
    }
  });
}

}  // namespace

void paste(const Problem& problem, float* soft, const Executor& exec) {
  paste_all(problem, soft, exec,
            [](const Kernels& k, const float* a, const float* b, float at_a, float at_b, std::int64_t count,
               float* out) { k.mix(a, b, at_a, at_b, count, out); });
}

void paste(const Problem& problem, float threshold, std::uint8_t* out, const Executor& exec) {
  paste_all(problem, out, exec,
            [threshold](const Kernels& k, const float* a, const float* b, float at_a, float at_b, std::int64_t count,
                        std::uint8_t* row) { k.mix_over(a, b, at_a, at_b, threshold, count, row); });
}

}  // namespace pyseg::paste_masks
