// From features to the enclosing simplex, its vertices' keys and the barycentric weights.
// For translation units of their own instruction set: everything is internal.
//
// The operations and their order are those of Kraehenbuehl's code, whose results are the standard: a point on the
// border of two simplices must fall to the same side.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/vectors.h"
#include "permutohedral/keys.h"

namespace pyseg::permutohedral {
namespace {

constexpr int kStep = kVectorBytes / 4;  // points at a time; of doubles as many, in two registers

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
  using Real = float __attribute__((vector_size(4 * kStep)));
  using Int = std::int32_t __attribute__((vector_size(4 * kStep)));
};
template <>
struct Lanes<double> {
  using Real = double __attribute__((vector_size(8 * kStep)));
  using Int = std::int64_t __attribute__((vector_size(8 * kStep)));
};
using KeyLanes = std::uint64_t __attribute__((vector_size(8 * kStep)));

// To the nearest, halves to even, of |x| < 2^22 (2^51).
template <typename T>
inline typename Lanes<T>::Real nearest(typename Lanes<T>::Real x) {
  constexpr T kShift = sizeof(T) == 4 ? static_cast<T>(12582912.0) : static_cast<T>(6755399441055744.0);
  return (x + kShift) - kShift;
}

// Position of kStep points, in the block that `features` is of, relative to the lattice. `Dims` 0: `dims` at run time.
template <typename T, int Dims>
struct Simplex {
  using Real = typename Lanes<T>::Real;
  using Int = typename Lanes<T>::Int;
  static constexpr int kMost = (Dims == 0 ? kMostDims : Dims) + 1;
  Real elevated[kMost], base[kMost];  // coordinates in the hyperplane; those of the nearest vertex of class 0
  Int rank[kMost];

  Simplex() = default;
  Simplex(const T* features, const T* scale, int dims) {
    const int d = Dims == 0 ? dims : Dims, classes = d + 1;
    const T inverse = static_cast<T>(1) / static_cast<T>(classes), step = static_cast<T>(classes);
    Real sum{};
    for (int j = d; j > 0; --j) {
      Real f;
      std::memcpy(&f, features + (j - 1) * kLanes, sizeof f);
      const Real c = f * scale[j - 1];
      elevated[j] = sum - static_cast<T>(j) * c;
      sum += c;
    }
    elevated[0] = sum;
    Real off[kMost];
    Int total{};
    for (int i = 0; i < classes; ++i) {
      const Real v = nearest<T>(elevated[i] * inverse);
      base[i] = v * step;
      total += __builtin_convertvector(v, Int);
      off[i] = elevated[i] - base[i];
      rank[i] = Int{};
    }
    for (int i = 0; i < d; ++i)
      for (int j = i + 1; j < classes; ++j) {
        const Int less = off[i] < off[j];  // -1 where true
        rank[i] -= less;
        rank[j] += 1 + less;
      }
    // Back into the hyperplane, where rounding left it.
    for (int i = 0; i < classes; ++i) {
      rank[i] += total;
      const Int low = rank[i]<0, high = rank[i]> d;
      rank[i] += (low & classes) - (high & classes);
      base[i] += __builtin_convertvector((low & classes) - (high & classes), Real);
    }
  }

  // weight [dims + 1][16] of the vertex of each remainder class; from the first of the points on.
  void weights(int dims, T* weight) const {
    const int d = Dims == 0 ? dims : Dims, classes = d + 1;
    const T inverse = static_cast<T>(1) / static_cast<T>(classes);
    Real b[kMost + 1] = {};
    for (int i = 0; i < classes; ++i) {
      const Real v = (elevated[i] - base[i]) * inverse;
      for (int p = 0; p < classes; ++p) {
        const Real here = select(rank[i] == d - p, v);
        b[p] += here;
        b[p + 1] -= here;
      }
    }
    b[0] += static_cast<T>(1) + b[classes];
    for (int r = 0; r < classes; ++r) std::memcpy(weight + r * kLanes, &b[r], sizeof(Real));
  }

  // keys [groups][dims + 1][16], groups `group_step` apart; from the first of the points on.
  void keys(int dims, const Packing& packing, std::uint64_t* keys, std::int64_t group_step) const {
    const int d = Dims == 0 ? dims : Dims, classes = d + 1;
    Int corner[kMost];
    for (int i = 0; i < d; ++i) corner[i] = __builtin_convertvector(base[i], Int);
    for (int r = 0; r < classes; ++r)
      for (int i = 0, g = 0; g < packing.groups; ++g) {
        KeyLanes key{};
        for (; i < d && packing.group[i] == g; ++i) {
          const Int wrapped = (rank[i] > d - r) & classes;
          const Int c = corner[i] + (r + packing.bias[i]) - wrapped;
          key = (key << packing.bits[i]) + __builtin_convertvector(c, KeyLanes);
        }
        std::memcpy(keys + g * group_step + r * kLanes, &key, sizeof key);
      }
  }

 private:
  static Real select(Int mask, Real v) {
    Int bits;
    std::memcpy(&bits, &v, sizeof v);
    bits &= mask;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
};

}  // namespace
}  // namespace pyseg::permutohedral
