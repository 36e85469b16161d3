// SLIC superpixels (Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012).
//
// Centres on a grid of interval S, moved to the lowest gradient in 3x3; each pass assigns every pixel to the nearest of
// the centres whose +-S window touches its tile, and moves the centres to the means of their pixels; then connectivity.
// Distance: L1 in CIELAB (or in the given channels) + compactness / S * L1 in space. pyseg/reference/slic.py is the
// definition in full.
//
// Two paths, one algorithm: 8-bit 2-D images run on bytes (bytes.h), everything else on float32 planes (planes.h).
#pragma once

#include <array>
#include <cstdint>

#include "core/parallel.h"
#include "core/view.h"

namespace pyseg::slic {

struct Options {
  std::int64_t n_segments = 100;
  double compactness = 10.0;
  std::int64_t max_iter = 10;
  double tol = -1.0;                       // mean movement of a centre in pixels, at which to stop; negative: never
  std::array<double, 3> sigma{0, 0, 0};    // Gaussian smoothing in pixels: z, y, x; negative: (1 2 1) / 4
  std::array<double, 3> spacing{1, 1, 1};  // size of a pixel: z, y, x
  bool to_lab = false;
  bool slic_zero = false;
  bool enforce_connectivity = true;
  double min_size_factor = 0.25;
  std::int32_t start_label = 0;
  const double* centers = nullptr;  // warm start: [n_centers, center_width] z, y, x [, channels]
  std::int64_t n_centers = 0, center_width = 0;

  // The binomial kernel along every axis. It costs little, removes most of the one-pixel fragments that connectivity
  // would have to absorb, and helps every measure of quality.
  bool binomial() const { return sigma[2] < 0; }
  bool smooth() const { return sigma != std::array<double, 3>{0, 0, 0}; }
};

// What the sizes of an image must keep to, before anything is allocated for it. Throws std::invalid_argument.
void check_size(const ImageView& image);

// Labels [depth, height, width], start_label onwards, start_label - 1 where the mask is off. Returns their number.
// Throws std::invalid_argument with the rule and the value.
std::int64_t slic(const ImageView& image, const MaskView& mask, const Options& options, std::int32_t* labels,
                  const Executor& exec);

// Components of fewer pixels are absorbed; `area`: the mean of a superpixel's.
std::int64_t min_size(double area, const Options& options);

// The regular grid of seeds.
struct Seeds {
  std::array<std::int64_t, 3> count{1, 1, 1};  // z, y, x
  double interval = 1;                         // S, in units of spacing: the largest of the grid's steps
  std::int64_t total() const { return count[0] * count[1] * count[2]; }
};
Seeds seed_grid(const ImageView& image, const Options& options);

// Superpixels of at least 10 pixels across are sampled: pass i looks at the pixels with (y - x) mod 4 = phase(i), a
// quarter of every row and column, so that means are not biased. Not where convergence is asked for (tol).
bool sampled(double interval, const Options& options);  // in pixels
int phase(std::int64_t pass);

bool fits_bytes(const ImageView& image, const MaskView& mask, const Options& options, const Seeds& seeds);
std::int64_t slic_bytes(const ImageView& image, const Options& options, const Seeds& seeds, std::int32_t* labels,
                        const Executor& exec);
std::int64_t slic_planes(const ImageView& image, const MaskView& mask, const Options& options, const Seeds& seeds,
                         std::int32_t* labels, const Executor& exec);

}  // namespace pyseg::slic
