// Mean field of the fully-connected CRF with Gaussian pairwise terms (Kraehenbuehl & Koltun, "Efficient Inference in
// Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011): Q0 = softmax(-U), then n times, all points at once,
//     Q <- softmax(-U - sum_k C_k F_k Q),   F_k = A_k K_k B_k,
// K_k a Gaussian filter by the permutohedral lattice (a point's own term included), A_k and B_k its normalisation, C_k
// the compatibility: -w (Potts), a diagonal or a symmetric matrix.
//
// What bounds it is bytes: per point and step 9 rows of channels read (slice) and 9 rows added to (splat) in an image
// with a spatial and a bilateral kernel. So:
// - one pass over the points slices, takes the softmax and splats at once: Q is never stored. A band of points works on
//   rows that lie together (permutohedral.h).
// - with Potts compatibilities only differences count: the rows hold Q_c - Q_last for the K - 1 classes before the
//   last; two classes are one channel, which runs over 16 points at a time (tanh instead of softmax).
// - optionally the blurred rows that a pass reads are in half precision. Sums and blurs stay float: rounding after each
//   axis as well costs three times as many labels.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/parallel.h"
#include "core/view.h"
#include "permutohedral/permutohedral.h"

namespace pyseg::dense_crf {

using permutohedral::Lattice;
using permutohedral::Normalization;

// The features of one kernel: given [points][dims], or positions / sigma, then channels of the image / sigma.
struct Features {
  const float* given = nullptr;
  std::int64_t dims = 0;        // of `given`
  std::vector<double> spatial;  // sigmas: one a spatial axis of the image, as `axes` orders them
  std::vector<double> color;    // sigmas: one a channel, or none
  std::vector<int> axes;        // the image's axes (0 depth, 1 height, 2 width), in the order of the features
};

// Lattices and normalisation of an image's kernels, which do not depend on the unary term. The points of an image
// go in tiles of 64x64 pixels: rows of vertices that near pixels share stay in the L1 and L2 caches.
struct Plan {
  struct Kernel {
    Lattice<float> lattice;
    Scratch<float> factor;  // [blocks * 16], unless there is no normalisation
    const float *before = nullptr, *after = nullptr;
  };
  std::int64_t points = 0;
  std::vector<std::uint32_t> order;  // [points] where point i is in the image; empty: where it is in the features
  std::vector<std::shared_ptr<const Kernel>> kernels;
};

// Throws std::invalid_argument for values out of range. The points are the image's in raster order, or those of the
// given features, `points` of them.
//
// A kernel of positions alone depends on the image's size: that of the last call is kept for the next one (a batch, a
// video), if it takes no more than 64 MB.
void make_plan(const std::vector<Features>& kernels, const ImageView& image, std::int64_t points,
               const std::vector<Normalization>& normalization, const Executor& executor, Plan& out);

// The largest value that each kernel's filter of ones has, normalisation included: no message is larger.
std::vector<float> gains(const Plan& plan, const Executor& executor);

void forget_positions();  // what is kept from call to call

enum class Compatibility : int { potts = 0, diagonal = 1, matrix = 2 };

struct Compat {
  Compatibility kind = Compatibility::potts;
  const float* values = nullptr;  // w; [classes]; [classes][classes], symmetric
};

enum class UnaryKind : int { energy = 0, logits = 1, probabilities = 2 };

// [points][classes], strides in floats.
template <typename T>
struct ClassView {
  T* data = nullptr;
  std::int64_t point_stride = 0, class_stride = 0;
};

struct Problem {
  const Plan* plan = nullptr;
  std::int64_t classes = 0;
  ClassView<const float> unary;
  UnaryKind unary_kind = UnaryKind::energy;
  std::vector<Compat> compat;  // of each of the plan's kernels
  std::int64_t n_iter = 10;
  bool half = false;  // rows in half precision
};

constexpr float kLeastProbability = 1e-5f;  // probabilities are clipped from below before their logarithm is taken

// Throws std::invalid_argument where the unary term is not finite, or no probability.
void mean_field(const Problem& problem, const Executor& executor, ClassView<float> out);

// Of each class, the largest ratio of its probability to that of a point's likeliest class, softmax(-U) taken. Throws
// as mean_field.
std::vector<float> class_ratios(ClassView<const float> unary, UnaryKind kind, std::int64_t points, std::int64_t classes,
                                const Executor& executor);

// Where the gradients go; null where one is not wanted.
struct Gradients {
  float* unary = nullptr;                // [points][classes], with respect to the energies
  std::vector<float*> compat, features;  // of each kernel, shaped as its values; [points][dims], of given features only
};

// Of the sum of cotangent * Q, [points][classes]; the unary term is energies. The iterates are computed anew and kept:
// n_iter * points * classes floats. The adjoint of a filter is the filter with its blur reversed: two filters a step
// and kernel, and one lattice gradient for the features.
void backward(const Problem& problem, const float* cotangent, const std::vector<Features>& features,
              const Executor& executor, const Gradients& out);

}  // namespace pyseg::dense_crf
