// The image as float64 planes of rows, smoothed, a band of rows at a time; and the weights of the edges between them.
//
// Layout: a band's smoothed rows are [rows, channels, stride], zeros from the image's width on, so that vectors may run
// over it. Everything is float64, in the definition's order of operations: weights that differ in the last bit could
// come in another order. What bounds it: reading and writing lines in the second-level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/isa.h"
#include "core/view.h"
#include "core/workspace.h"

namespace pyseg::felzenszwalb {

constexpr double kMaxSigma = 1000.0;
constexpr double kMaxValue = 1e150;  // squares of differences, summed over channels, overflow no float64
constexpr int kLanes = 8;            // rows are padded so that vectors of up to this many values may run over

// The Gaussian's taps from the middle outwards, [radius + 1].
std::vector<double> half_kernel(double sigma);

struct SmoothKernels {
  // float64 from other types: 255 or 65535 become 1, floats stay. `step` in bytes. Returns the bits of the largest
  // magnitude, which order as magnitudes do, infinity and NaN above all; 0 for integers.
  std::uint64_t (*convert)(const std::byte* in, int dtype, std::int64_t step, std::int64_t count, double* out);
  // out[i] = rows[r][i] k[0] + (rows[0][i] + rows[2r][i]) k[r] + ... + (rows[r-1][i] + rows[r+1][i]) k[1], in this
  // order.
  void (*blend)(const double* const* rows, const double* kernel, int radius, std::int64_t count, double* out);
  // Weights of the edges whose upper left corner is in row `top`: out[kind] of pixel i to its neighbour right, down,
  // right down, and of pixel i + 1 to i of the row below. Rows' channels are `stride` apart; `bottom` may be `top`,
  // where there is none. Reads and writes up to kLanes - 1 values more.
  void (*weigh)(const double* top, const double* bottom, std::int64_t channels, std::int64_t stride, int count,
                double* const* out);
  // items[i] = bits of float32(weights[i]) << 32 | (first + step * i).
  void (*key)(const double* weights, std::uint32_t first, std::uint32_t step, int count, std::uint64_t* items);
};

PYSEG_DISPATCH(SmoothKernels, smooth_kernels)

// Smoothed rows of one band after the other.
class Band {
 public:
  // Rows [begin, end) of the image. False where a value is NaN, infinite or too large.
  bool load(const ImageView& image, const std::vector<double>& kernel, std::int64_t begin, std::int64_t end);
  const double* row(std::int64_t y) const { return rows_.get() + (y - begin_) * channels_ * stride_; }
  std::int64_t stride() const { return stride_; }
  double worst() const { return worst_; }  // a value that made load() return false

 private:
  const double* mixed(std::int64_t y, std::int64_t height, const std::vector<double>& kernel, std::int64_t channel);
  bool convert_to(const ImageView& image, std::int64_t last);

  std::int64_t begin_ = 0, channels_ = 0, stride_ = 0;
  std::int64_t ring_rows_ = 0, next_ = 0;  // of the ring; the first row that is not converted yet
  double worst_ = 0;
  Scratch<double> rows_;  // [end - begin, channels, stride]
  Scratch<double> ring_;  // [ring_rows_, channels, stride] converted rows: row y is at y % ring_rows_
  Scratch<double> line_;  // one, smoothed along y, with its mirrored ends
  std::vector<const double*> taps_;
};

}  // namespace pyseg::felzenszwalb
