// TurboPixels (Levinshtein, Stere, Kutulakos, Fleet, Dickinson, Siddiqi, "TurboPixels: Fast Superpixels Using Geometric
// Flows", TPAMI 2009).
//
// Regions grow from seeds on a grid by a level-set flow psi_t = -S_I S_B |grad psi|, psi < 0 in assigned pixels:
//     S_I = (1 - alpha kappa) phi - beta N . grad phi,
//     phi = exp(-E / nu),    E = |grad I| / (G_sigma * |grad I| + gamma),
// and S_B is 0 on the skeleton of the unassigned pixels, so that fronts stop where they would meet. What is left joins
// by seeded region growing. pyseg/reference/turbopixels.py is the definition in full; equal bit for bit.
//
// What the paper leaves open, and how it is settled:
//  * Constants, smoothing (curvature motion), the scale of G_sigma, the time step, a skeleton every six steps, the end
//    (growth of less than 10^-4 a step) and the clamping of kappa and S_I to [-1, 1] are the published code's. The
//    doublet term is the paper's, whole; the published code has only the part that slows a front down.
//  * |grad I| of several channels: the root of the mean of squares. The published code takes the grey image's.
//  * Narrow band and extension of speed: a sparse field (Whitaker 1998). Pixels that the front runs through (|psi| <=
//    1/2) are evolved with the velocity of their own place; every other one within 4 pixels is put where |grad psi| = 1
//    makes it lie beside its neighbours, and so moves with the front nearest to it. No fast marching, no heap: a step
//    is three sweeps of 3x3 stencils, in any order of pixels.
//  * Homotopic thinning in shells of half a pixel and four subfields: the simple points of a subfield go at once. It
//    takes 45 logic operations for 64 to 512 pixels, and no queue.
//  * Regions are recorded as they grow: a pixel gets the label of the neighbour that its front came from.
//
// Layout: planes of float32 rows (plane.h) with room for the neighbours' columns; skeletons as one bit a pixel. A step
// looks only at pixels whose surroundings changed in the step before.
//
// What bounds it: the moving fronts. Some 110 vector operations for each vector of pixels that has one in it, two
// square roots and a division among them, in a chain; at 256 pixels a superpixel every second vector has one, and a
// hundred steps are taken. That is a third of the time; carrying the band along is another. Flow and image: flow.h,
// affinity.h.
#pragma once

#include <cstdint>

#include "core/parallel.h"
#include "core/view.h"

namespace pyseg::turbopixels {

struct Options {
  std::int64_t n_segments = 100;
  double alpha = 0.3;        // weight of curvature
  double beta = 1.0;         // of the attraction to edges
  double nu = 10.0 / 127.0;  // of E in the affinity
  double gamma = 10.0;       // added to the mean gradient, in 1/255 of the range a pixel
  double sigma = 0.0;        // of that mean, in pixels; 0: 0.8 times a superpixel's side
  std::int64_t max_iter = 500;
  bool enforce_connectivity = true;
  std::int32_t start_label = 0;
};

// What the sizes of an image must keep to, before anything is allocated for it. Throws std::invalid_argument.
void check_size(const ImageView& image);

// Labels [height, width] from start_label onwards. Returns their number. Throws std::invalid_argument with the rule and
// the value.
std::int64_t turbopixels(const ImageView& image, const Options& options, std::int32_t* labels, const Executor& exec);

}  // namespace pyseg::turbopixels
