// The permutohedral lattice (Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice",
// 2010) as a plan: built once from N points in d dimensions, then filters any number of channels by the Gaussian
//     out_i = sum_j exp(-|f_i - f_j|^2 / 2) in_j
// in time linear in N. Splat: a point gives its value to the d + 1 vertices of the simplex that it lies in; blur:
// (1/2, 1, 1/2) along each of the d + 1 axes of the lattice; slice: a point reads from the same vertices with the same
// weights.
//
// What bounds a filter is bytes moved per row of channels, and where from. The plan is laid out for that:
// - Points are cut into bands of at most 64 Ki, in their order. The rows of the vertices that a band touches lie side
//   by side, those of one remainder class after those of another, so that a band works within the L2 cache, and an
//   index is 16 bits: relative to the first row of its band and class.
// - Each row belongs to one band. A vertex that several bands touch has a row in each: one is the vertex's own, the
//   others are copies, added to it after a splat and overwritten by it before a slice. So bands need no atomics, and
//   sums have the same order for any number of threads: results are the same bits.
// - Weights and indices lie in blocks of 16 points, [block][class][16], as the vector code reads them.
// - Neighbours along an axis are kept as chains of rows: a blur goes along a chain with three rows in registers, reads
//   and writes each row once, in place, and never meets the vertices that have no neighbour (a quarter in 5-D).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "core/workspace.h"

namespace pyseg::permutohedral {

constexpr int kMostDims = 16;
constexpr int kLanes = 16;  // points in a block

// Fills [dims][16] features of the points of a block; those after the last point repeat it.
template <typename T>
using FeatureBlock = FunctionRef<void(std::int64_t block, T* features)>;

template <typename T>
struct Lattice {
  std::int64_t points = 0;
  int dims = 0;
  std::int64_t blocks = 0, band_blocks = 0, bands = 0;
  std::int64_t vertices = 0, rows = 0;  // rows: with the copies
  Scratch<std::uint16_t> offset;        // [blocks][dims + 1][16] row, relative to `base`
  Scratch<T> weight;                    // [blocks][dims + 1][16] barycentric; 0 after the last point
  std::vector<std::uint32_t> base;      // [bands][dims + 1] first row
  std::vector<std::uint32_t> segment;   // [bands + 1] rows of a band
  // Vertices with copies: row `owner[i]`, copies copy[copy_begin[i]] .. copy[copy_begin[i + 1]], in the order of bands.
  std::vector<std::uint32_t> owner, copy_begin, copy;
  struct Axis {
    std::vector<std::uint32_t> row, begin;  // chains: rows row[begin[i]] .. row[begin[i + 1]]
  };
  std::array<Axis, kMostDims + 1> axis;

  int classes() const { return dims + 1; }
  T alpha() const;  // what a blur adds to the mass
  std::int64_t bytes() const;
  std::int64_t first_block(std::int64_t band) const { return band * band_blocks; }
  std::int64_t last_block(std::int64_t band) const {
    const std::int64_t end = (band + 1) * band_blocks;
    return end < blocks ? end : blocks;
  }
};

// Throws std::invalid_argument where a feature is not finite or too large for its type to tell simplices apart; `op`
// begins the message. span [2 * dims]: the least of each feature and of its negative; null: found here, by one more
// pass.
template <typename T>
void build(const char* op, std::int64_t points, int dims, FeatureBlock<T> features, const T* span,
           const Executor& executor, Lattice<T>& out);

enum class Normalization : int { none = 0, symmetric = 1, before = 2, after = 3 };

// factor [blocks * 16] = 1 / (n + 1e-20), or its square root (for symmetric), n = the filter of ones.
template <typename T>
void normalizer(const Lattice<T>& lattice, bool square_root, const Executor& executor, T* factor);

// values and out [points][channels], rows `value_step` and `out_step` apart. transpose: the axes in reverse, exactly
// the adjoint.
template <typename T>
void filter(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
            Normalization normalization, bool transpose, const Executor& executor, T* out, std::int64_t out_step);

// The same with factors at hand, [blocks * 16], or null for 1: out = after * K (before * values).
template <typename T>
void filter_scaled(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
                   const T* before, const T* after, bool transpose, const Executor& executor, T* out,
                   std::int64_t out_step);

// gradient [points][dims] of sum_ij cotangent_i . K_ij values_j (normalisation aside) with respect to the features,
// taken inside the simplices, as Kraehenbuehl & Koltun, "Parameter Learning and Convergent Inference for Dense Random
// Fields", section 4.
template <typename T>
void feature_gradient(const Lattice<T>& lattice, FeatureBlock<T> features, const T* cotangent, const T* values,
                      std::int64_t channels, const Executor& executor, T* gradient);

}  // namespace pyseg::permutohedral
