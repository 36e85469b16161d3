#include "slic/plane_image.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "lab/lab.h"

namespace pyseg::slic {

bool PlaneImage::empty_tile(std::int64_t row, std::int64_t tx) const {
  const std::uint16_t* bits = inside_tile(row, tx);
  return std::all_of(bits, bits + kSide, [](std::uint16_t b) { return b == 0; });
}

void PlaneImage::load_mask(const ImageView& image, const MaskView& mask, const Executor& exec) {
  std::uint16_t* out = inside_.take(image.depth() * tiles_y_ * tiles_x_ * kSide);
  exec.each(image.depth() * tiles_y_, [&](std::int64_t row) {
    const std::int64_t z = row / tiles_y_, y0 = row % tiles_y_ * kSide;
    for (std::int64_t tx = 0; tx < tiles_x_; ++tx)
      for (std::int64_t r = 0; r < kSide; ++r) {
        const std::int64_t columns = std::min<std::int64_t>(kSide, width_ - tx * kSide);
        unsigned bits = y0 + r < height_ ? (1u << columns) - 1 : 0;
        if (mask && bits != 0)
          for (std::int64_t x = 0; x < columns; ++x)
            if (!mask.at(z, y0 + r, tx * kSide + x)) bits &= ~(1u << x);
        out[(row * tiles_x_ + tx) * kSide + r] = static_cast<std::uint16_t>(bits);
      }
  });
}

// Separable Gaussian, truncated at 4 sigma, edges repeated.
void PlaneImage::smooth_axis(const ImageView& image, std::int64_t planes, int axis, double sigma,
                             const Executor& exec) {
  const std::int64_t size = image.shape[static_cast<std::size_t>(axis)];
  // Negative: the binomial kernel.
  const auto radius = sigma < 0 ? 1 : static_cast<std::int64_t>(std::min(4.0 * sigma + 0.5, 1e6));
  std::vector<float> kernel(static_cast<std::size_t>(2 * radius + 1));
  double total = 0;
  for (std::int64_t i = -radius; i <= radius; ++i)
    total += std::exp(-0.5 * std::pow(static_cast<double>(i) / sigma, 2));
  for (std::int64_t i = -radius; i <= radius; ++i)
    kernel[static_cast<std::size_t>(i + radius)] =
        static_cast<float>(std::exp(-0.5 * std::pow(static_cast<double>(i) / sigma, 2)) / total);
  if (sigma < 0) kernel = {0.25f, 0.5f, 0.25f};
  const std::int64_t step = axis == 0 ? height_ : 1;  // rows between neighbours along z and y
  const std::int64_t lines = planes * image.depth() * height_;
  const float* in = planes_.get();
  float* out = other_.take(lines * width_);
  exec.run(lines, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const float*> rows(kernel.size());
    std::vector<float> padded(axis == 2 ? static_cast<std::size_t>(width_ + 2 * radius) : 0);
    for (std::int64_t line = begin; line < end; ++line) {
      if (axis == 2) {
        for (std::int64_t x = -radius; x < width_ + radius; ++x)
          padded[static_cast<std::size_t>(x + radius)] = in[line * width_ + std::clamp<std::int64_t>(x, 0, width_ - 1)];
        for (std::size_t j = 0; j < rows.size(); ++j) rows[j] = padded.data() + j;
      } else {
        const std::int64_t i = axis == 0 ? line / height_ % image.depth() : line % height_;
        for (std::int64_t j = -radius; j <= radius; ++j)
          rows[static_cast<std::size_t>(j + radius)] =
              in + (line + (std::clamp<std::int64_t>(i + j, 0, size - 1) - i) * step) * width_;
      }
      plane_kernels().blend(rows.data(), kernel.data(), static_cast<int>(kernel.size()), width_, out + line * width_);
    }
  });
  swap(planes_, other_);
}

// With a mask, a normalised convolution: what lies outside has no weight.
void PlaneImage::smooth(const ImageView& image, const Options& options, const Executor& exec) {
  smoothed_ = options.smooth();
  if (!smoothed_) return;
  const std::int64_t rows = image.depth() * height_, planes = channels_ + (masked_ ? 1 : 0);
  float* out = planes_.take(planes * image.pixels());
  exec.each(rows, [&](std::int64_t i) {
    for (std::int64_t c = 0; c < planes; ++c) {
      float* line = out + (c * rows + i) * width_;
      if (c == channels_) std::fill_n(line, width_, 1.0f);
      else
        plane_kernels().convert(image.row(i / height_, i % height_) + c * image.stride[3],
                                static_cast<int>(image.dtype), image.stride[2], width_, line);
      for (std::int64_t x = 0; masked_ && x < width_; ++x)
        if (!inside(i / height_, i % height_, x)) line[x] = 0.0f;
    }
  });
  for (int axis = 0; axis < 3; ++axis)
    if (options.sigma[static_cast<std::size_t>(axis)] != 0 && image.shape[static_cast<std::size_t>(axis)] > 1)
      smooth_axis(image, planes, axis, options.sigma[static_cast<std::size_t>(axis)], exec);
  if (!masked_) return;
  exec.each(rows, [&](std::int64_t i) {
    const float* weight = planes_.get() + (channels_ * rows + i) * width_;
    for (std::int64_t c = 0; c < channels_; ++c) {
      float* line = planes_.get() + (c * rows + i) * width_;
      for (std::int64_t x = 0; x < width_; ++x) line[x] = weight[x] > 0 ? line[x] / weight[x] : 0.0f;
    }
  });
}

// Row r of a row of tiles, as [channels, padded width] in `lines`; returns the largest magnitude.
float PlaneImage::load_row(const ImageView& image, const Options& options, std::int64_t row, int r, float* lines) {
  const std::int64_t z = row / tiles_y_, y = row % tiles_y_ * kSide + r, padded = tiles_x_ * kSide;
  for (std::int64_t c = 0; c < channels_; ++c) {
    if (smoothed_)
      std::memcpy(lines + c * padded, planes_.get() + ((c * image.depth() + z) * height_ + y) * width_,
                  static_cast<std::size_t>(width_) * sizeof(float));
    else
      plane_kernels().convert(image.row(z, y) + c * image.stride[3], static_cast<int>(image.dtype), image.stride[2],
                              width_, lines + c * padded);
  }
  if (masked_)  // what lies outside may be anything, NaN too
    for (std::int64_t x = 0; x < width_; ++x)
      if (!inside(z, y, x))
        for (std::int64_t c = 0; c < channels_; ++c) lines[c * padded + x] = 0.0f;
  if (options.to_lab) lab::kernels().floats(lines, lines + padded, lines + 2 * padded, width_);
  return plane_kernels().scale(lines, channels_ * padded, options.to_lab ? 1.0f : 100.0f);
}

std::int64_t PlaneImage::load(const ImageView& image, const MaskView& mask, const Options& options,
                              const Executor& exec) {
  channels_ = image.channels();
  height_ = image.height();
  width_ = image.width();
  tiles_x_ = (width_ + kSide - 1) / kSide;
  tiles_y_ = (height_ + kSide - 1) / kSide;
  masked_ = static_cast<bool>(mask);
  load_mask(image, mask, exec);
  smooth(image, options, exec);
  const std::int64_t rows = image.depth() * tiles_y_, padded = tiles_x_ * kSide;
  float* tiles = tiles_.take(rows * tiles_x_ * channels_ * kArea);
  std::atomic<std::uint32_t> most{0};
  exec.run(rows, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> lines(static_cast<std::size_t>(channels_ * padded));
    std::uint32_t here = 0;
    for (std::int64_t row = begin; row < end; ++row)
      for (int r = 0; r < kSide; ++r) {
        std::fill(lines.begin(), lines.end(), 0.0f);
        if (row % tiles_y_ * kSide + r < height_)
          here = std::max(here, std::bit_cast<std::uint32_t>(load_row(image, options, row, r, lines.data())));
        for (std::int64_t tx = 0; tx < tiles_x_; ++tx)
          for (std::int64_t c = 0; c < channels_; ++c) {
            float* tile = tiles + ((row * tiles_x_ + tx) * channels_ + c) * kArea;
            const float* line = lines.data() + c * padded + tx * kSide;
            for (int x = 0; x < kSide; ++x) tile[place_of(x, r)] = line[x];
          }
      }
    for (std::uint32_t seen = most.load(); seen < here && !most.compare_exchange_weak(seen, here);) {
    }
  });
  const float largest = std::bit_cast<float>(most.load());
  check(std::isfinite(largest), "slic: image must be finite", options.to_lab ? " (in CIELAB)" : "", ", got ",
        std::isnan(largest) ? "nan" : "inf");
  fixed_ = largest > 0 ? std::ldexp(1.0f, 25 - std::clamp(std::ilogb(largest), -100, 126)) : 1.0f;
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < rows * tiles_x_ * kSide; ++i) inside += std::popcount(unsigned{inside_.get()[i]});
  return inside;
}

std::pair<std::int64_t, std::int64_t> PlaneImage::lowest_gradient(std::int64_t z, std::int64_t y,
                                                                  std::int64_t x) const {
  std::pair<std::int64_t, std::int64_t> lowest{0, 0};
  if (y < 2 || x < 2 || y + 2 >= height_ || x + 2 >= width_) return lowest;
  float least = __builtin_inff();
  for (const std::int64_t i : {4, 0, 1, 2, 3, 5, 6, 7, 8}) {  // the centre first: in flat places a seed stays
    const std::int64_t dy = i / 3 - 1, dx = i % 3 - 1;
    float gradient = 0;
    for (std::int64_t c = 0; c < channels_; ++c) {
      gradient += std::abs(at(z, y + dy, x + dx + 1, c) - at(z, y + dy, x + dx - 1, c));
      gradient += std::abs(at(z, y + dy + 1, x + dx, c) - at(z, y + dy - 1, x + dx, c));
    }
    if (gradient < least) {
      least = gradient;
      lowest = {dy, dx};
    }
  }
  return lowest;
}

}  // namespace pyseg::slic
