// Masks of boxes, of a fixed small size, drawn into images (He, Gkioxari, Dollar, Girshick, "Mask R-CNN", ICCV 2017,
// section 3.1): bilinear interpolation in the box, and a threshold. Two conventions for where a mask's pixels lie:
//
//  * exact: the mask covers its box, at coordinates that are not rounded; beyond it is 0, so that a mask ends half of
//    its pixels outside the outermost centres. Detectron2's, by grid_sample without aligned corners.
//  * whole: the mask gets a border of zeros, and its box grows alike and is cut to whole pixels, of which the last is
//    inside; the mask is resized to that many. torchvision's, by interpolate without aligned corners.
//
// Interpolation is a product: rows of the mask are first stretched to the box's width, each once, and rows of the image
// are mixtures of two of them, contiguous in memory. Only pixels of the box are computed; the others are set to 0.
//
// What bounds it: setting the others to 0.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "core/parallel.h"

namespace pyseg::paste_masks {

enum class Convention : int { exact, whole };

struct Problem {
  const float* masks = nullptr;  // [count, mask_height, mask_width]
  const void* boxes = nullptr;   // [count, 4] x1, y1, x2, y2; float64 where `wide`, else float32
  bool wide = false;
  std::int64_t count = 0, mask_height = 0, mask_width = 0, height = 0, width = 0;
  Convention convention = Convention::exact;
};

// Values to soft [count, height, width]. Boxes that are not finite paste nothing. Throws std::invalid_argument.
void paste(const Problem& problem, float* soft, const Executor& exec);

// Whether they are at least the threshold, as 0 and 1.
void paste(const Problem& problem, float threshold, std::uint8_t* out, const Executor& exec);

struct Kernels {
  // out[i] = row[low[i]] * at_low[i] + row[high[i]] * at_high[i]
  void (*stretch)(const float* row, const std::int32_t* low, const std::int32_t* high, const float* at_low,
                  const float* at_high, std::int64_t count, float* out);
  // out[i] = a[i] * at_a + b[i] * at_b, or whether that is at least the threshold.
  void (*mix)(const float* a, const float* b, float at_a, float at_b, std::int64_t count, float* out);
  void (*mix_over)(const float* a, const float* b, float at_a, float at_b, float threshold, std::int64_t count,
                   std::uint8_t* out);
};

PYSEG_DISPATCH(Kernels, kernels)

}  // namespace pyseg::paste_masks
