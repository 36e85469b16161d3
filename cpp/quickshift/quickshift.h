// Quick shift (Vedaldi and Soatto, "Quick Shift and Kernel Methods for Mode Seeking", ECCV 2008).
//
// A pixel is a point (ratio * colour, y, x). Its density is a sum of Gaussians of its distances to the pixels of a
// window of +-3 kernel_size; its parent is the nearest pixel of higher density in that window. Links longer than
// max_dist are cut, and the trees that are left are the segments. pyseg/reference/quickshift.py is the definition in
// full.
//
// Two arithmetics. The usual one is float32, with densities in integers: sums have no order, and neither threads nor
// instruction sets nor mirrored images can tell. The exact one follows scikit-image's rounding in the image's own type,
// float32 or float64, for whoever needs its label maps (pyseg/compat/skimage.py).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/parallel.h"
#include "core/view.h"

namespace pyseg::quickshift {

struct Options {
  double ratio = 1.0;        // weight of colour against space
  double kernel_size = 5.0;  // standard deviation of the density's Gaussian, in pixels
  double max_dist = 10.0;    // of a pixel to its parent
  double sigma = 0.0;        // Gaussian smoothing of the colours, in pixels
  bool to_lab = false;
  std::int32_t start_label = 0;
  // Added to the densities, [height, width] contiguous. Null: of equal densities the first in raster order counts as
  // the higher.
  const double* noise = nullptr;
  // The image is float32 or float64 and taken as it is; equal densities are no reason for a link; labels are in raster
  // order of the roots, not of first appearance.
  bool exact = false;
};

// Where results go. The tree is uncut: its links may be longer than max_dist.
struct Result {
  std::int32_t* labels = nullptr;   // [height, width]
  std::int64_t* parents = nullptr;  // [height, width] raster indices, a root's its own; null: not asked for
  void* distances = nullptr;  // [height, width] to the parent, infinite for a root; float64 where the image is and the
                              // arithmetic is exact, else float32
};

// What the sizes of an image must keep to, before anything is allocated for it. Throws std::invalid_argument.
void check_size(const ImageView& image);

// Returns the number of labels. Throws std::invalid_argument with the rule and the value.
std::int64_t quickshift(const ImageView& image, const Options& options, const Result& result, const Executor& exec);

}  // namespace pyseg::quickshift
