// Quick shift's data layout and the table of its inner loops.
//
// The features are planes of T (float or double), one a channel, whose rows have a margin of NaN on both sides, so that
// a vector of pixels meets its neighbours (y, x) of the window without a look at the border: what compares with NaN is
// of no weight and never a parent. Densities lie in one plane with the same rows.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/isa.h"

namespace pyseg::quickshift {

constexpr std::int64_t kMargin = 32;  // pixels beyond a row and its window that a loop may touch

template <typename T>
struct Field {
  const T* planes = nullptr;  // at pixel (0, 0) of channel 0
  std::int64_t channels = 0, height = 0, width = 0;
  std::int64_t stride = 0, plane = 0;       // from row to row, from channel to channel
  std::int64_t window_y = 0, window_x = 0;  // +-: of the density and of the search
};

// Densities as integers of T's size.
template <typename T>
using Key = std::conditional_t<std::is_same_v<T, float>, std::int32_t, std::int64_t>;

// lanes.h has 2^y divided by the leading factor of a polynomial: its logarithm to base 2, for float and for double.
constexpr double kLogLead[] = {-6.7072499811404, -23.231969109034058};

// exp(-(colour + space) / (2 kernel_size^2)), each a squared distance, is 2^(factor * colour + space[dy, dx]),
// times a scale, which is in `space`.
template <typename T>
struct Gaussian {
  T factor;
  const T* space;  // [window_y + 1, window_x + 1]
};

// From a pixel to another one of its window.
template <typename T>
struct Offset {
  std::int64_t at;  // in a plane
  std::int32_t y;   // rows
  Key<T> index;     // raster index
  T square_y, square_x;
};

// The offsets of the window at one distance, in raster order.
template <typename T>
struct Ring {
  T squared;
  std::int64_t begin, end;  // in the list of offsets
};

template <typename T>
struct Search {
  const Key<T>* density;  // laid out as a plane of the field
  const Offset<T>* offsets;
  const Ring<T>* rings;  // nearest first
  std::int64_t rings_count;
  T limit;    // of the squared distance
  bool ties;  // of equal densities the first in raster order is the higher
};

struct DensityKernels {
  // Adds the weights of all pairs of pixels whose first one in raster order is in rows [begin, end) to both: `density`
  // is laid out as rows begin .. end + window_y of a plane, and points to pixel (begin, 0).
  void (*single)(const Field<float>& field, const Gaussian<float>& gaussian, std::int64_t begin, std::int64_t end,
                 std::int32_t* density);
  void (*twice)(const Field<double>& field, const Gaussian<double>& gaussian, std::int64_t begin, std::int64_t end,
                std::int64_t* density);
  // A row's densities as scikit-image has them of float32: summed up from `noise` on in raster order, each sum rounded.
  // Their bits, which order as they do. `factor`: -1 / (2 kernel_size^2).
  void (*rounded)(const Field<float>& field, float factor, std::int64_t row, const double* noise,
                  std::int32_t* density);
};

struct SearchKernels {
  // Of each pixel of a row, the raster index of the nearest pixel of higher density, its own where there is none; of
  // equally near ones the first. And its squared distance, or the limit, where `squared` is not null.
  void (*single)(const Field<float>& field, const Search<float>& search, std::int64_t row, std::int32_t* parent,
                 float* squared);
  void (*twice)(const Field<double>& field, const Search<double>& search, std::int64_t row, std::int32_t* parent,
                double* squared);
};

PYSEG_DISPATCH(DensityKernels, density_kernels)
PYSEG_DISPATCH(SearchKernels, search_kernels)

}  // namespace pyseg::quickshift
