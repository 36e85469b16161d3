// TurboPixels: checks, seeds, and the steps in their order. See turbopixels.h.
#include "turbopixels/turbopixels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "core/check.h"
#include "core/isa.h"
#include "turbopixels/affinity.h"
#include "turbopixels/flow.h"
#include "turbopixels/regions.h"

namespace pyseg::turbopixels {
namespace {

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 31) - 1, kMaxChannels = 1 << 16;

void check_options(const ImageView& image, const Options& o) {
  check_size(image);
  check(o.n_segments >= 1, "turbopixels: n_segments must be >= 1, got ", o.n_segments);
  check(std::isfinite(o.alpha) && o.alpha >= 0, "turbopixels: alpha must be finite and >= 0, got ", o.alpha);
  check(std::isfinite(o.beta) && o.beta >= 0, "turbopixels: beta must be finite and >= 0, got ", o.beta);
  check(std::isfinite(o.nu) && o.nu > 0, "turbopixels: nu must be finite and > 0, got ", o.nu);
  check(std::isfinite(o.gamma) && o.gamma > 0, "turbopixels: gamma must be finite and > 0, got ", o.gamma);
  check(std::isfinite(o.sigma) && o.sigma >= 0, "turbopixels: sigma must be finite and > 0, got ", o.sigma);
  check(o.max_iter >= 0, "turbopixels: max_iter must be >= 0, got ", o.max_iter);
  check(o.start_label >= 0, "turbopixels: start_label must be >= 0, got ", o.start_label);
  check(o.start_label + image.pixels() <= kMaxPixels,
        "turbopixels: start_label + the number of labels must be at most ", kMaxPixels, ", got start_label ",
        o.start_label);
}

// The middles of a grid's cells, moved to the highest phi around; of equal ones the nearest, then the first.
std::vector<Seed> place_seeds(const Plane& phi, std::int64_t height, std::int64_t width, std::int64_t rows,
                              std::int64_t columns) {
  const double side = std::min(static_cast<double>(height) / static_cast<double>(rows),
                               static_cast<double>(width) / static_cast<double>(columns));
  const auto reach =
      std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil((std::floor((side - 2) / 2) - 1) / 2)));
  std::vector<Seed> seeds;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t y0 = (2 * i + 1) * height / (2 * rows), x0 = (2 * j + 1) * width / (2 * columns);
      std::tuple<float, std::int64_t, std::int64_t, std::int64_t> best{0.0f, 0, y0, x0};
      for (std::int64_t y = std::max<std::int64_t>(0, y0 - reach); y <= std::min(height - 1, y0 + reach); ++y)
        for (std::int64_t x = std::max<std::int64_t>(0, x0 - reach); x <= std::min(width - 1, x0 + reach); ++x)
          best = std::min(best, {-phi.row(y)[x], (y - y0) * (y - y0) + (x - x0) * (x - x0), y, x});
      seeds.push_back({std::get<2>(best), std::get<3>(best)});
    }
  return seeds;
}

// Everything that a call needs and the next one can use again.
class Workspace {
 public:
  std::int64_t run(const ImageView& image, const Options& o, std::int32_t* labels, const Executor& exec) {
    const std::int64_t height = image.height(), width = image.width();
    affinity_.load(image, exec);
    if (o.n_segments >= height * width) {  // each pixel is its own superpixel
      std::iota(labels, labels + height * width, o.start_label);
      return height * width;
    }
    const auto wanted = static_cast<double>(o.n_segments);
    const double side = std::sqrt(static_cast<double>(height * width) / wanted);
    affinity_.compute(std::min(o.sigma > 0 ? o.sigma : 0.8 * side, 1e6), o.gamma, o.nu, exec);
    const double rows =
        std::clamp(std::floor(static_cast<double>(height) / side + 0.5), 1.0, static_cast<double>(height));
    const double columns = std::clamp(std::floor(wanted / rows + 0.5), 1.0, static_cast<double>(width));
    const std::vector<Seed> seeds = place_seeds(affinity_.phi(), height, width, static_cast<std::int64_t>(rows),
                                                static_cast<std::int64_t>(columns));
    flow_.start(height, width, seeds, std::min(1.5, side / 4));
    flow_.run(affinity_.phi(), o.alpha, o.beta, o.max_iter, exec);
    return regions_.label(affinity_, flow_, height, width, static_cast<std::int64_t>(seeds.size()),
                          o.enforce_connectivity, o.start_label, labels, exec);
  }

 private:
  Affinity affinity_;
  Flow flow_;
  Regions regions_;
};

}  // namespace

void check_size(const ImageView& image) {
  check(image.depth() == 1, "turbopixels: image must not be a volume, got depth ", image.depth());
  double padded = 1;
  for (std::size_t d = 1; d < 4; ++d) {
    check(image.shape[d] >= 1, "turbopixels: image must not be empty, got height ", image.height(), ", width ",
          image.width(), ", channels ", image.channels());
    // Tiles pad the image by up to 15 pixels a side.
    if (d < 3) padded *= static_cast<double>((image.shape[d] + 15) / 16 * 16);
  }
  check(padded <= static_cast<double>(kMaxPixels),
        "turbopixels: image must have at most 2^31 - 1 pixels, its sides rounded up to 16, got ",
        static_cast<double>(image.height()) * static_cast<double>(image.width()));
  check(image.channels() <= kMaxChannels, "turbopixels: image must have at most ", kMaxChannels, " channels, got ",
        image.channels());
}

std::int64_t turbopixels(const ImageView& image, const Options& options, std::int32_t* labels, const Executor& exec) {
  (void)isa();  // an unknown PYSEG_ISA is an error here, not in a thread
  check_options(image, options);
  static thread_local Workspace workspace;
  return workspace.run(image, options, labels, exec);
}

}  // namespace pyseg::turbopixels
