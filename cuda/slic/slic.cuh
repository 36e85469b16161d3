// SLIC on the device: the 8-bit path of cpp/slic for a batch of 2-D images, with the CPU's labels bit for bit.
//
// Covered: uint8, 1 to 3 channels of any strides, to_lab or not, smoothed by the binomial kernel or not, seeds on the
// grid or given centres, tol, connectivity; what fits_bytes() accepts. Masks, volumes, other types, slic_zero, other
// smoothing and spacing are not.
//
// Memory is the caller's: workspace_bytes() of a plan, and a workspace of that size for the call. Everything is
// enqueued on the stream and nothing is asked of the host, with one exception: with tol >= 0 and more than 64 passes,
// the host waits every 64 passes to learn whether all images have come to rest.
#pragma once

#include <driver_types.h>

#include <cstdint>

#include "slic/slic.h"

namespace pyseg::slic::cuda {

struct Shape {
  std::int64_t images, height, width, channels;
};

// In bytes, of any sign.
struct Strides {
  std::int64_t image, y, x, channel;
};

// The integers that a call works with, derived from the options as cpp/slic does.
struct Plan {
  Shape shape{};
  bool one_each = false;  // as many segments as pixels: each is its own superpixel
  bool to_lab = false, smooth = false, connect = true;
  const double* centers = nullptr;  // on the device: [images, clusters, center_width]
  std::int32_t center_width = 0;    // 0: seeds
  std::int32_t clusters = 0, seeds_x = 0, seeds_y = 0;
  int tile = 16;
  bool sampled = false;                // a pass looks at a quarter of the pixels
  std::int32_t reach = 0, weight = 0;  // as ByteGrid's
  std::int32_t cell = 0;               // side of the cells that centres are binned by, in 1/16 pixel
  std::int64_t max_iter = 0, min_size = 0;
  double rest = -1;  // total movement (1/16 pixel) of an image's centres at which it stops; negative: never
  std::int32_t start_label = 0;

  std::int32_t height() const { return static_cast<std::int32_t>(shape.height); }
  std::int32_t width() const { return static_cast<std::int32_t>(shape.width); }
  std::int32_t images() const { return static_cast<std::int32_t>(shape.images); }
};

// `options.centers` points to device memory, one set of n_centers for each image (to size a workspace it may be null;
// seeds are meant where n_centers is 0). Throws std::invalid_argument with the rule and the value, of wrong options and
// of what is not covered.
Plan make_plan(const Shape& shape, const Options& options);

std::int64_t workspace_bytes(const Plan& plan);

// labels [images, height, width]; count [images]: the number of labels of each. All on the current device, the
// workspace aligned to 256 bytes.
cudaError_t slic(const Plan& plan, const std::uint8_t* image, const Strides& strides, std::int32_t* labels,
                 std::int64_t* count, void* workspace, cudaStream_t stream);

}  // namespace pyseg::slic::cuda
