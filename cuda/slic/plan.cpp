// Checks, and what the CPU's path derives from the options: what is rounded here is rounded on the host, by the CPU's
// own functions where it has them.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "slic/bytes.h"
#include "slic/slic.cuh"

namespace pyseg::slic::cuda {
namespace {

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 31) - 1;
constexpr std::int64_t kMaxImages = 65535;                 // a grid's second extent
constexpr std::int64_t kMaxSides = std::int64_t{1} << 22;  // of positions in 1/16 pixel, and of rounds of absorption

void check_shape(const Shape& s, const Options& o) {
  check(s.height >= 1 && s.width >= 1 && s.channels >= 1, "slic: image must not be empty, got height ", s.height,
        ", width ", s.width, ", channels ", s.channels);
  check(s.channels <= 3, "slic on CUDA takes uint8 images of up to 3 channels, got ", s.channels);
  check(s.height <= kMaxSides && s.width <= kMaxSides && s.height + s.width <= kMaxSides,
        "slic on CUDA takes images of height + width up to ", kMaxSides, ", got ", s.height, " and ", s.width);
  const std::int64_t padded = ((s.height + 15) / 16 * 16) * ((s.width + 15) / 16 * 16);
  check(s.images <= kMaxImages && s.images * padded <= kMaxPixels,
        "slic on CUDA takes at most 65535 images and 2^31 - 1 pixels in one call, got ", s.images, " images of ",
        s.height * s.width);
  check(std::int64_t{o.start_label} + s.height * s.width <= kMaxPixels,
        "slic: start_label + the number of labels must be at most ", kMaxPixels, ", got start_label ", o.start_label);
}

void check_options(const Shape& s, const Options& o) {
  check(o.n_segments >= 1, "slic: n_segments must be >= 1, got ", o.n_segments);
  check(std::isfinite(o.compactness) && o.compactness > 0, "slic: compactness must be finite and > 0, got ",
        o.compactness);
  check(o.max_iter >= 0, "slic: max_iter must be >= 0, got ", o.max_iter);
  check(!std::isnan(o.tol), "slic: tol must be a number, got nan");
  check(std::isfinite(o.min_size_factor) && o.min_size_factor >= 0,
        "slic: min_size_factor must be finite and >= 0, got ", o.min_size_factor);
  check(!o.to_lab || s.channels == 3, "slic: convert2lab needs 3 channels, got ", s.channels);
  check(o.start_label >= 0, "slic: start_label must be >= 0, got ", o.start_label);
  check(o.n_centers >= 0 && (o.centers == nullptr || o.n_centers >= 1),
        "slic: initial_centers must have a row, got none");
  check(o.n_centers == 0 || o.center_width == 3 || o.center_width == 3 + s.channels,
        "slic: initial_centers must be [K, 3] or [K, 3 + channels], got [", o.n_centers, ", ", o.center_width, "]");
  check(!o.slic_zero, "slic on CUDA does not take slic_zero");
  for (std::size_t d = 1; d < 3; ++d) {
    check(o.sigma[d] == 0 || o.binomial(), "slic on CUDA takes no sigma but 0 or the binomial kernel, got ",
          o.sigma[d]);
    check(o.spacing[d] == 1, "slic on CUDA takes no spacing but 1, got ", o.spacing[d]);
  }
}

}  // namespace

Plan make_plan(const Shape& shape, const Options& options) {
  check_shape(shape, options);
  check_options(shape, options);
  Plan plan;
  plan.shape = shape;
  plan.start_label = options.start_label;
  const std::int64_t pixels = shape.height * shape.width;
  const bool given = options.n_centers > 0;
  plan.one_each = !given && options.n_segments >= pixels;
  if (plan.one_each) return plan;

  Options used = options;
  if (given) used.n_segments = options.n_centers;
  ImageView view;
  view.shape = {1, shape.height, shape.width, shape.channels};
  const Seeds seeds = seed_grid(view, used);
  const double s = seeds.interval;
  check(fits_bytes(view, MaskView{}, used, seeds),
        "slic on CUDA takes superpixels 2 to 1024 pixels wide and compactness up to ", std::min(32.0, 7.9 * s),
        " at their width, got width ", s, ", compactness ", options.compactness);

  plan.to_lab = options.to_lab;
  plan.smooth = options.binomial();
  plan.connect = options.enforce_connectivity;
  plan.centers = options.centers;
  plan.center_width = given ? static_cast<std::int32_t>(options.center_width) : 0;
  const std::int64_t clusters = given ? options.n_centers : seeds.total();
  check(shape.images * (clusters + 1) <= kMaxPixels, "slic on CUDA takes at most 2^31 - 1 centers in one call, got ",
        clusters, " an image");
  plan.clusters = static_cast<std::int32_t>(clusters);
  plan.seeds_x = static_cast<std::int32_t>(seeds.count[2]);
  plan.seeds_y = static_cast<std::int32_t>(seeds.count[1]);
  plan.tile = s < 10.0 ? 8 : 16;
  plan.sampled = sampled(s, options);
  plan.reach = static_cast<std::int32_t>(std::lround(kSub * s));
  plan.weight = static_cast<std::int32_t>(std::lround(2.0 * options.compactness / s * 65536.0 / kSub));
  plan.cell = std::max(plan.reach, kSub * plan.tile);
  plan.max_iter = options.max_iter;
  plan.rest = options.tol * static_cast<double>(kSub * clusters);
  const double area = static_cast<double>(pixels) / static_cast<double>(clusters);
  // At 2^32 every component is small; more need not fit.
  plan.min_size = static_cast<std::int64_t>(std::min(options.min_size_factor * area, 4294967296.0));
  return plan;
}

}  // namespace pyseg::slic::cuda
