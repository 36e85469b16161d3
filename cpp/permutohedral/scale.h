// How features are scaled before they are projected to the lattice's hyperplane.
#pragma once

#include <array>
#include <cmath>

#include "permutohedral/permutohedral.h"

namespace pyseg::permutohedral {

// The splat, blur and slice of the lattice together have the standard deviation sqrt(2 / 3) (d + 1) (Adams et al., p.
// 6); 1 / sqrt((i + 1)(i + 2)) makes the projection an isometry (p. 5).
template <typename T>
std::array<T, kMostDims> scale_of(int dims) {
  std::array<T, kMostDims> scale{};
  const T deviation = static_cast<T>(std::sqrt(2.0 / 3.0) * (dims + 1));
  for (int i = 0; i < dims; ++i)
    scale[static_cast<std::size_t>(i)] =
        static_cast<T>(1.0 / std::sqrt(static_cast<double>((i + 2) * (i + 1))) * static_cast<double>(deviation));
  return scale;
}

}  // namespace pyseg::permutohedral
