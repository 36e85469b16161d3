// One axis of a 3-tap convolution of rate r and stride 1, cut into pieces of few multiplications.
//
// Outputs o, o + r, o + 2r ... of one phase see inputs of one phase: an ordinary convolution. A piece computes some
// consecutive outputs of a phase from products of (combinations of inputs) with (combinations of the taps g0, g1, g2):
//
//   piece    outputs  products  weights                          exactness
//   single   1        1 .. 3    g0, g1, g2 without the padding   exact
//   pair     2        3         g1, g2 - g1, g0 - g1             a phase of two outputs: each has one tap in the
//   padding triple   3        6         g1, g2 - g1, g0 - g1, g2, g0, g1 a phase of three outputs f2       2        4
//   F(2,3) of Winograd               as direct convolution, in practice f4       4        6         F(4,3) of Winograd
//   loses a digit
//
// (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, for F(m,3).) In two dimensions
// products multiply: a 65 x 65 image at rate 24 takes 123^2 products where taps outside of the padding number 147^2.
// F(4,3) is scaled so as to share its weights with F(2,3), so that pieces mix without more matrices of weights.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "atrous_conv/kernels.h"

namespace pyseg::atrous_conv {

// Combinations of the taps that products use.
enum WeightId : std::uint8_t { g0, g1, g2, half_sum, half_alternating, g2_minus_g1, g0_minus_g1, at_two, at_minus_two };
constexpr int kWeightIds = 9;
constexpr int kMostInputs = 6, kMostProducts = 6, kMostOutputs = 4;

// Coefficients of (g0, g1, g2) in a combination.
constexpr std::array<std::array<double, 3>, kWeightIds> kWeightRows = {{{1, 0, 0},
                                                                        {0, 1, 0},
                                                                        {0, 0, 1},
                                                                        {0.5, 0.5, 0.5},
                                                                        {0.5, -0.5, 0.5},
                                                                        {0, -1, 1},
                                                                        {1, -1, 0},
                                                                        {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                                                        {1.0 / 24, -1.0 / 12, 1.0 / 6}}};

struct Piece {
  PieceKind kind;
  std::int64_t first;  // output; the others follow at the rate
  std::int64_t input;  // position of its first input, perhaps outside of [0, size)
  int inputs, products, outputs;
  std::uint8_t taps;                                // single: which are inside
  std::array<std::uint8_t, kMostProducts> weights;  // WeightId of each product
};

// All pieces of an axis, those of a kind together. Every output is in exactly one.
std::vector<Piece> pieces(std::int64_t in, std::int64_t out, std::int64_t padding, std::int64_t rate, bool with_f4);

}  // namespace pyseg::atrous_conv
