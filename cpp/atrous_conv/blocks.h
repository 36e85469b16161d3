// The pieces of both axes (axis.h) as rows of matrices: one matrix product for each pair of combinations of taps.
#pragma once

#include <vector>

#include "atrous_conv/atrous_conv.h"
#include "atrous_conv/axis.h"

namespace pyseg::atrous_conv {

// The pieces of an axis, and the combinations of taps that they use.
struct Side {
  std::vector<Piece> pieces;
  std::vector<std::uint8_t> ids;
  std::array<std::uint8_t, kWeightIds> slot{};  // of an id in `ids`

  Side(const Conv& conv, int axis);
};

struct Plan {
  Side y, x;
  explicit Plan(const Conv& conv) : y(conv, 0), x(conv, 1) {}
  std::int64_t matrices() const { return static_cast<std::int64_t>(y.ids.size() * x.ids.size()); }
};

// Some pieces of an axis, each for `images` images in turn: entry e is piece e / images of image e % images. `at` has
// the place of each product of an entry among the products with the same weights.
struct Places {
  const Side* side = nullptr;
  std::int64_t first = 0, count = 0, images = 1;
  std::vector<std::int64_t> total;  // by slot
  std::vector<std::array<std::int32_t, kMostProducts>> at;

  Places(const Side& side, std::int64_t first, std::int64_t count, std::int64_t images);
  const Piece& piece(std::int64_t e) const { return side->pieces[static_cast<std::size_t>((first + e) / images)]; }
  std::int64_t image(std::int64_t e) const { return (first + e) % images; }
  std::size_t slot(std::int64_t e, int product) const {
    return side->slot[piece(e).weights[static_cast<std::size_t>(product)]];
  }
};

// The products of some pieces of y with some of x.
struct Block {
  Places y, x;
  std::vector<std::int64_t> base;  // first row of each matrix, [y slots * x slots + 1]

  Block(const Places& y, const Places& x);
  std::int64_t rows() const { return base.back(); }
  std::int64_t tiles() const { return y.count * x.count; }
  std::int64_t row(std::int64_t i, int p, std::int64_t j, int q) const {
    const std::size_t a = y.slot(i, p), b = x.slot(j, q);
    return base[a * x.total.size() + b] + y.at[static_cast<std::size_t>(i)][static_cast<std::size_t>(p)] * x.total[b] +
           x.at[static_cast<std::size_t>(j)][static_cast<std::size_t>(q)];
  }
};

// All tiles, in blocks of about `rows` rows at most, as many for each of `threads`.
std::vector<Block> blocks(const Plan& plan, std::int64_t images, std::int64_t rows, int threads);

}  // namespace pyseg::atrous_conv
