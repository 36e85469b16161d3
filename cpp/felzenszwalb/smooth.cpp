#include "felzenszwalb/smooth.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pyseg::felzenszwalb {
namespace {

// What is beyond the border mirrors what is within, the outermost value repeated.
std::int64_t mirror(std::int64_t i, std::int64_t size) {
  if (i >= 0 && i < size) return i;
  i = (i % (2 * size) + 2 * size) % (2 * size);
  return i < size ? i : 2 * size - 1 - i;
}

// NumPy's pairwise summation.
double pairwise_sum(const double* v, std::size_t n) {
  if (n > 128) {
    const std::size_t half = n / 2 - n / 2 % 8;
    return pairwise_sum(v, half) + pairwise_sum(v + half, n - half);
  }
  double sum = v[0];
  std::size_t i = 1;
  if (n >= 8) {
    double part[8];
    for (i = 0; i < 8; ++i) part[i] = v[i];
    for (; i + 8 <= n; i += 8)
      for (std::size_t j = 0; j < 8; ++j) part[j] += v[i + j];
    sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  }
  for (; i < n; ++i) sum += v[i];
  return sum;
}

}  // namespace

std::vector<double> half_kernel(double sigma) {
  const auto radius = static_cast<std::int64_t>(4.0 * sigma + 0.5);
  if (radius == 0) return {1.0};
  std::vector<double> kernel;
  const double factor = -0.5 / (sigma * sigma);
  for (std::int64_t x = -radius; x <= radius; ++x) kernel.push_back(std::exp(factor * static_cast<double>(x * x)));
  const double sum = pairwise_sum(kernel.data(), kernel.size());
  for (double& k : kernel) k /= sum;
  kernel.erase(kernel.begin(), kernel.begin() + radius);
  return kernel;
}

// Converts rows up to `last`.
bool Band::convert_to(const ImageView& image, std::int64_t last) {
  for (; next_ <= last; ++next_)
    for (std::int64_t c = 0; c < channels_; ++c) {
      double* out = ring_.get() + (next_ % ring_rows_ * channels_ + c) * stride_;
      const std::uint64_t most =
          smooth_kernels().convert(image.row(0, next_) + c * image.stride[3], static_cast<int>(image.dtype),
                                   image.stride[2], image.width(), out);
      if (most <= std::bit_cast<std::uint64_t>(kMaxValue)) continue;
      worst_ = *std::find_if(out, out + image.width(), [](double v) { return !(std::abs(v) <= kMaxValue); });
      return false;
    }
  return true;
}

// A row of a channel, smoothed along y, with its mirrored ends; its first pixel is the kernel's radius further on.
const double* Band::mixed(std::int64_t y, std::int64_t height, const std::vector<double>& kernel,
                          std::int64_t channel) {
  const auto radius = static_cast<std::int64_t>(kernel.size()) - 1;
  const std::int64_t width = stride_ - 2 * kLanes;
  for (std::int64_t j = -radius; j <= radius; ++j)
    taps_[static_cast<std::size_t>(radius + j)] =
        ring_.get() + (mirror(y + j, height) % ring_rows_ * channels_ + channel) * stride_;
  double* line = line_.get();
  smooth_kernels().blend(taps_.data(), kernel.data(), static_cast<int>(radius), width, line + radius);
  for (std::int64_t j = 1; j <= radius; ++j) {
    line[radius - j] = line[radius + mirror(-j, width)];
    line[radius + width - 1 + j] = line[radius + mirror(width - 1 + j, width)];
  }
  return line;
}

bool Band::load(const ImageView& image, const std::vector<double>& kernel, std::int64_t begin, std::int64_t end) {
  const auto radius = static_cast<std::int64_t>(kernel.size()) - 1;
  const std::int64_t width = image.width(), height = image.height();
  begin_ = begin;
  channels_ = image.channels();
  stride_ = width + 2 * kLanes;
  ring_rows_ = std::min(height, 2 * radius + 1);
  next_ = std::max<std::int64_t>(0, begin - radius);
  double* out = rows_.take((end - begin) * channels_ * stride_);
  ring_.take(ring_rows_ * channels_ * stride_);
  line_.take(width + 2 * radius);
  taps_.resize(static_cast<std::size_t>(2 * radius + 1));
  for (std::int64_t y = begin; y < end; ++y) {
    if (!convert_to(image, std::min(height - 1, y + radius))) return false;
    for (std::int64_t c = 0; c < channels_; ++c, out += stride_) {
      const double* line = mixed(y, height, kernel, c);
      for (std::int64_t j = 0; j <= 2 * radius; ++j) taps_[static_cast<std::size_t>(j)] = line + j;
      smooth_kernels().blend(taps_.data(), kernel.data(), static_cast<int>(radius), width, out);
      std::fill(out + width, out + stride_, 0.0);
    }
  }
  return true;
}

}  // namespace pyseg::felzenszwalb
