// SLIC: checks, the seeds' grid, and the choice between the two paths. See slic.h.
#include "slic/slic.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "slic/planes.h"

namespace pyseg::slic {
namespace {

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 31) - 1, kMaxChannels = 1 << 16;

void check_options(const ImageView& image, const Options& o) {
  check_size(image);
  check(o.n_segments >= 1, "slic: n_segments must be >= 1, got ", o.n_segments);
  check(std::isfinite(o.compactness) && o.compactness > 0, "slic: compactness must be finite and > 0, got ",
        o.compactness);
  check(o.max_iter >= 0, "slic: max_iter must be >= 0, got ", o.max_iter);
  check(!std::isnan(o.tol), "slic: tol must be a number, got nan");
  check(std::isfinite(o.min_size_factor) && o.min_size_factor >= 0,
        "slic: min_size_factor must be finite and >= 0, got ", o.min_size_factor);
  for (std::size_t d = 0; d < 3; ++d) {
    check(std::isfinite(o.sigma[d]) && (o.sigma[d] >= 0 || o.binomial()), "slic: sigma must be finite and >= 0, got ",
          o.sigma[d]);
    check(std::isfinite(o.spacing[d]) && o.spacing[d] > 0, "slic: spacing must be finite and > 0, got ", o.spacing[d]);
  }
  check(!o.to_lab || image.channels() == 3, "slic: convert2lab needs 3 channels, got ", image.channels());
  check(o.start_label >= 0, "slic: start_label must be >= 0, got ", o.start_label);
  check(o.centers == nullptr || o.n_centers >= 1, "slic: initial_centers must have a row, got none");
  for (std::int64_t i = 0; i < o.n_centers * o.center_width; ++i)
    check(std::isfinite(o.centers[i]), "slic: initial_centers must be finite, got ", o.centers[i]);
}

void check_finite(const ImageView& image, const MaskView& mask, const Executor& exec) {
  if (image.dtype == DType::u8 || image.dtype == DType::u16) return;
  std::atomic<bool> wrong{false};
  exec.run(image.depth() * image.height(), 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> line(static_cast<std::size_t>(image.width()));
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t c = 0; c < image.channels(); ++c) {
        const std::int64_t z = row / image.height(), y = row % image.height();
        plane_kernels().convert(image.row(z, y) + c * image.stride[3], static_cast<int>(image.dtype), image.stride[2],
                                image.width(), line.data());
        for (std::int64_t x = 0; x < image.width(); ++x)
          if (!std::isfinite(line[static_cast<std::size_t>(x)]) && (!mask || mask.at(z, y, x))) wrong = true;
      }
  });
  check(!wrong, "slic: image must be finite, got nan or inf");
}

// n_segments at or above the number of pixels: each is its own superpixel.
std::int64_t one_each(const ImageView& image, const MaskView& mask, std::int32_t start, std::int32_t* labels) {
  std::int64_t n = 0;
  for (std::int64_t z = 0; z < image.depth(); ++z)
    for (std::int64_t y = 0; y < image.height(); ++y)
      for (std::int64_t x = 0; x < image.width(); ++x)
        *labels++ = !mask || mask.at(z, y, x) ? start + static_cast<std::int32_t>(n++) : start - 1;
  return n;
}

// Only ratios of spacings matter. Extreme ones are brought to at most 1, and to no more than 1e30 apart.
void tame(std::array<double, 3>& spacing) {
  const double most = *std::max_element(spacing.begin(), spacing.end());
  const double least = *std::min_element(spacing.begin(), spacing.end());
  if (most < 1e30 && least > 1e-30) return;
  for (double& s : spacing) s = std::max(s / most, 1e-30);
}

std::int64_t pixels_inside(const ImageView& image, const MaskView& mask) {
  if (!mask) return image.pixels();
  std::int64_t n = 0;
  for (std::int64_t z = 0; z < image.depth(); ++z)
    for (std::int64_t y = 0; y < image.height(); ++y)
      for (std::int64_t x = 0; x < image.width(); ++x) n += mask.at(z, y, x);
  return n;
}

}  // namespace

void check_size(const ImageView& image) {
  double pixels = 1, padded = 1;
  for (std::size_t d = 0; d < 4; ++d) {
    check(image.shape[d] >= 1, "slic: image must not be empty, got depth ", image.depth(), ", height ", image.height(),
          ", width ", image.width(), ", channels ", image.channels());
    if (d == 3) break;
    pixels *= static_cast<double>(image.shape[d]);
    // Tiles pad the image by up to 15 pixels a side.
    padded *= static_cast<double>(d == 0 ? image.shape[d] : (image.shape[d] + 15) / 16 * 16);
  }
  check(padded <= static_cast<double>(kMaxPixels),
        "slic: image must have at most 2^31 - 1 pixels, its sides rounded up to 16, got ", pixels);
  check(image.channels() <= kMaxChannels, "slic: image must have at most ", kMaxChannels, " channels, got ",
        image.channels());
}

Seeds seed_grid(const ImageView& image, const Options& options) {
  Seeds seeds;
  double size[3], volume = 1;
  int dims = 0;
  for (std::size_t d = 0; d < 3; ++d) {
    size[d] = static_cast<double>(image.shape[d]) * options.spacing[d];
    if (d == 0 && image.depth() == 1) continue;
    volume *= size[d];
    ++dims;
  }
  auto wanted = static_cast<double>(options.n_segments);
  for (std::size_t d = image.depth() == 1 ? 1 : 0; d < 3; ++d, --dims) {
    const double step = std::pow(volume / wanted, 1.0 / dims);
    const double n = dims > 1 ? std::round(size[d] / step) : std::round(wanted);
    seeds.count[d] = static_cast<std::int64_t>(std::clamp(n, 1.0, static_cast<double>(image.shape[d])));
    wanted = std::max(1.0, wanted / static_cast<double>(seeds.count[d]));
    volume /= size[d];
  }
  seeds.interval = 0;
  for (std::size_t d = image.depth() == 1 ? 1 : 0; d < 3; ++d)
    seeds.interval = std::max(seeds.interval, size[d] / static_cast<double>(seeds.count[d]));
  return seeds;
}

std::int64_t min_size(double area, const Options& options) {
  return static_cast<std::int64_t>(std::min(options.min_size_factor * area, 1e18));
}

bool sampled(double interval, const Options& options) { return interval >= 10.0 && options.tol < 0; }

int phase(std::int64_t pass) {
  static constexpr int kOrder[4] = {0, 2, 1, 3};
  return kOrder[pass % 4];
}

std::int64_t slic(const ImageView& image, const MaskView& mask, const Options& options, std::int32_t* labels,
                  const Executor& exec) {
  (void)isa();  // an unknown PYSEG_ISA is an error here, not in a thread
  check_options(image, options);
  const std::int64_t inside = pixels_inside(image, mask);
  check(inside > 0, "slic: mask must have at least one pixel, got none");
  check(std::int64_t{options.start_label} + inside <= kMaxPixels,
        "slic: start_label + the number of labels must be at most ", kMaxPixels, ", got start_label ",
        options.start_label);
  if (options.centers == nullptr && options.n_segments >= inside) {
    check_finite(image, mask, exec);
    return one_each(image, mask, options.start_label, labels);
  }
  Options used = options;
  tame(used.spacing);
  if (options.centers != nullptr) used.n_segments = options.n_centers;
  const Seeds seeds = seed_grid(image, used);
  if (fits_bytes(image, mask, used, seeds)) return slic_bytes(image, used, seeds, labels, exec);
  return slic_planes(image, mask, used, seeds, labels, exec);
}

}  // namespace pyseg::slic
