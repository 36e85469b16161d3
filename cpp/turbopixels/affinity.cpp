// The affinity of TurboPixels: smoothing, gradient, local mean. See affinity.h for the layout.
#include "turbopixels/affinity.h"

#include <atomic>
#include <cmath>
#include <numbers>

#include "core/check.h"
#include "slic/planes.h"

namespace pyseg::turbopixels {
namespace {

constexpr std::int64_t kSteps = 10;  // of curvature motion

std::vector<float> gaussian(double sigma) {
  const auto radius = static_cast<std::int64_t>(std::ceil(3.0 * sigma));
  std::vector<double> bell;
  double total = 0;
  for (std::int64_t i = -radius; i <= radius; ++i) {
    const double at = static_cast<double>(i) / sigma;
    bell.push_back(std::exp(-0.5 * at * at));
    total += bell.back();
  }
  std::vector<float> kernel;
  for (const double b : bell) kernel.push_back(static_cast<float>(b / total));
  return kernel;
}

// Where pixel i lies between the middles of cells of `step` pixels.
struct Between {
  std::int64_t first, second;
  float share;  // of the second
};
Between between(std::int64_t i, std::int64_t step, std::int64_t cells) {
  const double at = (static_cast<double>(i) + 0.5) / static_cast<double>(step) - 0.5, low = std::floor(at);
  const auto first = static_cast<std::int64_t>(low);
  return {std::clamp<std::int64_t>(first, 0, cells - 1), std::clamp<std::int64_t>(first + 1, 0, cells - 1),
          static_cast<float>(at - low)};
}

}  // namespace

// Rows begin .. end - 1 of a smoothed channel.
bool Affinity::smooth(const ImageView& image, std::int64_t c, std::int64_t begin, std::int64_t end) {
  static thread_local Scratch<float> memory;
  const auto& kernels = image_kernels();
  const std::int64_t stride = channels_.stride();
  float* rings = memory.take(kSteps * 3 * stride);
  const auto ring = [&](std::int64_t step, std::int64_t y) {
    return rings + (step * 3 + std::clamp<std::int64_t>(y, 0, height_ - 1) % 3) * stride + kGroup;
  };
  const std::int64_t first = std::max<std::int64_t>(0, begin - kSteps), last = std::min(height_, end + kSteps);
  bool finite = true;
  for (std::int64_t top = first; top < end + kSteps; ++top)
    for (std::int64_t step = 0; step <= kSteps; ++step) {
      const std::int64_t y = top - step;
      if (y < std::max(first, begin - kSteps + step) || y >= std::min(last, end + kSteps - step)) continue;
      float* line = step == kSteps ? channel(c, y) : ring(step, y);
      if (step == 0) {
        slic::plane_kernels().convert(image.row(0, y) + c * image.stride[3], static_cast<int>(image.dtype),
                                      image.stride[2], width_, line);
        finite &= kernels.levels(line, width_);
      } else {
        kernels.soften(ring(step - 1, y - 1), ring(step - 1, y), ring(step - 1, y + 1), width_, line);
      }
      close_row(line, width_);
    }
  return finite;
}

void Affinity::load(const ImageView& image, const Executor& exec) {
  height_ = image.height();
  width_ = image.width();
  count_ = image.channels();
  channels_.take(count_ * height_, width_);
  std::atomic<bool> finite{true};
  for (std::int64_t c = 0; c < count_; ++c) {
    exec.run(height_, 8 * kSteps, [&](std::int64_t begin, std::int64_t end) {
      if (!smooth(image, c, begin, end)) finite = false;
    });
    check(finite, "turbopixels: image must be finite, got nan or inf");
  }
}

void Affinity::gradient(const Executor& exec) {
  magnitude_.take(height_, width_);
  exec.run(height_, 16, [&](std::int64_t begin, std::int64_t end) {
    const auto& kernels = image_kernels();
    for (std::int64_t y = begin; y < end; ++y) {
      float* total = magnitude_.row(y);
      std::fill_n(total, groups(width_) * kGroup, 0.0f);
      for (std::int64_t c = 0; c < count_; ++c)
        kernels.add_slopes(channel(c, y - 1), channel(c, y), channel(c, y + 1), width_, total);
      kernels.roots(total, width_, 1.0f / static_cast<float>(count_));
      std::fill_n(total + width_, kGroup, 0.0f);
    }
  });
}

// Means of the gradient in cells of step x step pixels: sums down the columns, then along the rows.
void Affinity::coarsen(std::int64_t step, const Executor& exec) {
  cells_y_ = (height_ + step - 1) / step;
  cells_x_ = (width_ + step - 1) / step;
  float* cells = cells_.take(cells_y_ * cells_x_);
  exec.run(cells_y_, 4, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> line(static_cast<std::size_t>(width_));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t rows = std::min(step, height_ - i * step);
      std::copy_n(magnitude_.row(i * step), width_, line.data());
      for (std::int64_t r = 1; r < rows; ++r) {
        const float* more = magnitude_.row(i * step + r);
        for (std::int64_t x = 0; x < width_; ++x) line[static_cast<std::size_t>(x)] += more[x];
      }
      for (std::int64_t j = 0; j < cells_x_; ++j) {
        const std::int64_t columns = std::min(step, width_ - j * step);
        const float* part = line.data() + j * step;
        float sum = part[0];
        for (std::int64_t x = 1; x < columns; ++x) sum += part[x];
        cells[i * cells_x_ + j] = sum / static_cast<float>(rows * columns);
      }
    }
  });
}

void Affinity::blur(double sigma, const Executor& exec) {
  const std::vector<float> kernel = gaussian(sigma);
  const auto taps = static_cast<std::int64_t>(kernel.size()), radius = taps / 2;
  float* out = blurred_.take(cells_y_ * cells_x_);
  exec.run(cells_y_, 4, [&](std::int64_t begin, std::int64_t end) {
    const auto& kernels = slic::plane_kernels();
    std::vector<const float*> rows(kernel.size());
    std::vector<float> line(static_cast<std::size_t>(cells_x_ + 2 * radius));
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t j = 0; j < taps; ++j)
        rows[static_cast<std::size_t>(j)] =
            cells_.get() + std::clamp<std::int64_t>(i + j - radius, 0, cells_y_ - 1) * cells_x_;
      kernels.blend(rows.data(), kernel.data(), static_cast<int>(taps), cells_x_, line.data() + radius);
      std::fill_n(line.data(), radius, line[static_cast<std::size_t>(radius)]);
      std::fill_n(line.data() + radius + cells_x_, radius, line[static_cast<std::size_t>(radius + cells_x_ - 1)]);
      for (std::int64_t j = 0; j < taps; ++j) rows[static_cast<std::size_t>(j)] = line.data() + j;
      kernels.blend(rows.data(), kernel.data(), static_cast<int>(taps), cells_x_, out + i * cells_x_);
    }
  });
}

void Affinity::compute(double sigma, double gamma, double nu, const Executor& exec) {
  gradient(exec);
  const std::int64_t step =
      std::max<std::int64_t>(1, std::min(static_cast<std::int64_t>(sigma / 4), std::max(height_, width_)));
  coarsen(step, exec);
  blur(std::min(sigma / static_cast<double>(step), 8.0), exec);

  const auto scale = static_cast<float>(std::sqrt(std::numbers::pi / 2) * sigma);
  const auto floor = static_cast<float>(std::clamp(gamma, 1e-30, 1e30));
  const auto inverse_nu = static_cast<float>(std::min(1.0 / nu, 1e30));
  std::vector<Between> columns;
  for (std::int64_t x = 0; x < width_; ++x) columns.push_back(between(x, step, cells_x_));
  phi_.take(height_, width_);
  exec.run(height_, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> cells(static_cast<std::size_t>(cells_x_)),
        mean(static_cast<std::size_t>(groups(width_) * kGroup));
    for (std::int64_t y = begin; y < end; ++y) {
      const Between row = between(y, step, cells_y_);
      const float *a = blurred_.get() + row.first * cells_x_, *b = blurred_.get() + row.second * cells_x_;
      for (std::int64_t j = 0; j < cells_x_; ++j)
        cells[static_cast<std::size_t>(j)] = a[j] * (1.0f - row.share) + b[j] * row.share;
      for (std::int64_t x = 0; x < width_; ++x) {
        const Between& at = columns[static_cast<std::size_t>(x)];
        mean[static_cast<std::size_t>(x)] = cells[static_cast<std::size_t>(at.first)] * (1.0f - at.share) +
                                            cells[static_cast<std::size_t>(at.second)] * at.share;
      }
      image_kernels().affinity(magnitude_.row(y), mean.data(), width_, scale, floor, inverse_nu, phi_.row(y));
      close_row(phi_.row(y), width_);
    }
  });
}

}  // namespace pyseg::turbopixels
