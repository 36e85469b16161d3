// What TurboPixels sees of an image: its smoothed channels, and the affinity phi of every pixel to its neighbours.
//
// Ten steps of curvature motion are one sweep over the rows of a channel: step i works i rows behind the one before it,
// and each keeps three rows, so that the image passes through the cache once. Chunks of rows begin and end with ten
// rows of their neighbours', computed twice.
//
// The mean of the gradients, G_sigma * |grad I|, is wide (sigma is most of a superpixel's side). It is computed on the
// means of cells of sigma / 4 pixels, and interpolated.
#pragma once

#include <cstdint>
#include <vector>

#include "core/isa.h"
#include "core/parallel.h"
#include "core/view.h"
#include "turbopixels/plane.h"

namespace pyseg::turbopixels {

// Rows are as in plane.h; loops run over whole groups.
struct ImageKernels {
  // From 0 .. 1 to 0 .. 255, at most 2^20. False where a value is infinite or NaN.
  bool (*levels)(float* line, std::int64_t width);
  // One step of 0.1 of mean curvature motion.
  void (*soften)(const float* above, const float* at, const float* below, std::int64_t width, float* out);
  // total += |grad|^2.
  void (*add_slopes)(const float* above, const float* at, const float* below, std::int64_t width, float* total);
  // values = sqrt(values * factor).
  void (*roots)(float* values, std::int64_t width, float factor);
  // exp(-magnitude / (scale * mean + gamma) * inverse_nu).
  void (*affinity)(const float* magnitude, const float* mean, std::int64_t width, float scale, float gamma,
                   float inverse_nu, float* out);
};

PYSEG_DISPATCH(ImageKernels, image_kernels)

class Affinity {
 public:
  // Channels of 0 .. 255, smoothed. Throws where a value is not finite.
  void load(const ImageView& image, const Executor& exec);
  void compute(double sigma, double gamma, double nu, const Executor& exec);

  std::int64_t channels() const { return count_; }
  float* channel(std::int64_t c, std::int64_t y) const {
    return channels_.row(c * height_ + std::clamp<std::int64_t>(y, 0, height_ - 1));
  }
  const Plane& phi() const { return phi_; }

 private:
  bool smooth(const ImageView& image, std::int64_t c, std::int64_t begin, std::int64_t end);
  void gradient(const Executor& exec);
  void coarsen(std::int64_t step, const Executor& exec);
  void blur(double sigma, const Executor& exec);

  Plane channels_;  // [channels * height, width]
  Plane phi_, magnitude_;
  std::int64_t count_ = 0, height_ = 0, width_ = 0, cells_y_ = 0, cells_x_ = 0;
  Scratch<float> cells_, blurred_;  // [cells_y, cells_x]
};

}  // namespace pyseg::turbopixels
