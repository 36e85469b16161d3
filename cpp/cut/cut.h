// What an interactive cut computes over the superpixels of an image: how likely each one's colour is in the object and
// around it, and how far what is known of some of them reaches.
//
// Diffusion: Grady, "Random Walks for Image Segmentation" (PAMI 2006), with the priors of Grady, "Multilabel Random
// Walker Image Segmentation Using Prior Models" (CVPR 2005). x minimises
//     sum_ij w_ij (x_i - x_j)^2 + sum_i a_i p_i (x_i - t_i)^2,  x_i given at seeds,
// w_ij large where two superpixels share a long boundary and are of one colour, a_i the area, p_i the pull towards t_i.
// One sparse positive definite system: conjugate gradients, in double, in a fixed order: the same bits everywhere.
//
// Colours: histograms over CIELAB, cells of 4 units, blurred by a Gaussian of 6 units, which is a kernel density
// estimate at a cost that does not depend on the number of superpixels and has no start to depend on, as a Gaussian
// mixture has. Only the box of cells that the image occupies is kept.
//
// Superpixels are thousands: both take a millisecond or two, and what bounds a cut is the dense CRF over the pixels.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/parallel.h"

namespace pyseg::cut {

struct Graph {
  std::int64_t count = 0;
  std::vector<double> area;             // [count] relative to the mean
  std::vector<std::int64_t> begin;      // [count + 1] rows of the adjacency
  std::vector<std::int32_t> other;      // the neighbours
  std::vector<double> weight;           // theirs
  std::vector<double> degree;           // [count] sums of the weights
  std::array<std::int64_t, 3> cells{};  // of the histogram, L a b
  std::vector<std::int32_t> cell;       // [count] where a superpixel's mean colour lies
};

// mean_lab [count][3], finite; area [count] in pixels; edges [edge_count][2] within 0 .. count - 1, each pair once;
// boundary [edge_count]: their length. A weight is boundary (exp(-d^2 / 2 sigma^2) + leak), d the distance of the
// colours, boundary relative to the mean. Throws std::invalid_argument for values out of range.
void make_graph(const double* mean_lab, const std::int64_t* area, std::int64_t count, const std::int32_t* edges,
                const std::int64_t* boundary, std::int64_t edge_count, double sigma, double leak, Graph& out);

// pull, target [count], finite, pull >= 0; seed [count]: -1 free, 0 or 1 given. out [count] in 0 .. 1. What neither a
// pull nor a seed reaches is 0.5.
void diffuse(const Graph& graph, const double* pull, const double* target, const std::int8_t* seed, double* out);

// log((f + least) / (b + least)) of each superpixel's colour, f and b the densities under two weightings [count] >= 0,
// as shares of their sums in a cell.
void color_ratio(const Graph& graph, const double* inside, const double* outside, double least, const Executor& exec,
                 double* out);

// ---- between pixels and superpixels; labels [pixels] within 0 .. count - 1, strokes [pixels]: -1 unknown, 0 or 1
// -----------

// out [count][2]: pixels of each superpixel that are marked 0, and 1.
void count_strokes(const std::int32_t* labels, const std::int8_t* strokes, std::int64_t pixels, std::int64_t count,
                   std::int64_t* out);

// Energies [pixels][2] of two classes: 0, and minus the superpixel's logit; +-kSure at strokes.
constexpr float kSure = 30.0f;
void unary(const std::int32_t* labels, const float* logit, const std::int8_t* strokes, std::int64_t pixels,
           const Executor& exec, float* out);

// Of the CRF's [pixels][2]: the probability of class 1 and whether it is above a half; at strokes what they say.
void finish(const float* q, const std::int8_t* strokes, std::int64_t pixels, const Executor& exec, float* probability,
            bool* mask);

}  // namespace pyseg::cut
