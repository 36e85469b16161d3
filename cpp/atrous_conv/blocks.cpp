#include "atrous_conv/blocks.h"

#include <algorithm>
#include <numeric>

namespace pyseg::atrous_conv {

Side::Side(const Conv& conv, int axis)
    : pieces(atrous_conv::pieces(axis == 0 ? conv.height : conv.width, conv.out_size(axis), conv.padding[axis],
                                 conv.dilation[axis], conv.algorithm == Algorithm::winograd4)) {
  std::array<bool, kWeightIds> used{};
  for (const Piece& piece : pieces)
    for (int p = 0; p < piece.products; ++p) used[piece.weights[static_cast<std::size_t>(p)]] = true;
  for (std::uint8_t id = 0; id < kWeightIds; ++id) {
    if (!used[id]) continue;
    slot[id] = static_cast<std::uint8_t>(ids.size());
    ids.push_back(id);
  }
}

Places::Places(const Side& side, std::int64_t first, std::int64_t count, std::int64_t images)
    : side(&side),
      first(first),
      count(count),
      images(images),
      total(side.ids.size()),
      at(static_cast<std::size_t>(count)) {
  for (std::int64_t e = 0; e < count; ++e)
    for (int p = 0; p < piece(e).products; ++p)
      at[static_cast<std::size_t>(e)][static_cast<std::size_t>(p)] = static_cast<std::int32_t>(total[slot(e, p)]++);
}

Block::Block(const Places& y, const Places& x) : y(y), x(x), base(y.total.size() * x.total.size() + 1) {
  for (std::size_t a = 0; a < y.total.size(); ++a)
    for (std::size_t b = 0; b < x.total.size(); ++b) {
      const std::size_t matrix = a * x.total.size() + b;
      base[matrix + 1] = base[matrix] + y.total[a] * x.total[b];
    }
}

std::vector<Block> blocks(const Plan& plan, std::int64_t images, std::int64_t rows, int threads) {
  const auto products = [](const std::vector<Piece>& pieces) {
    return std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0},
                           [](std::int64_t sum, const Piece& p) { return sum + p.products; });
  };
  const auto y_count = static_cast<std::int64_t>(plan.y.pieces.size()) * images;
  const auto x_count = static_cast<std::int64_t>(plan.x.pieces.size());
  const std::int64_t all = std::max<std::int64_t>(products(plan.y.pieces) * images * products(plan.x.pieces), 1);
  // As many equal parts as rows ask for; y first, so that a block has whole lines of the image.
  const std::int64_t wanted = ((all + rows - 1) / rows + threads - 1) / threads * threads;
  const std::int64_t y_parts = std::min(wanted, y_count);
  const std::int64_t x_parts = std::min((wanted + y_parts - 1) / y_parts, x_count);
  std::vector<Block> found;
  for (std::int64_t i = 0; i < y_parts; ++i)
    for (std::int64_t j = 0; j < x_parts; ++j) {
      const std::int64_t y0 = y_count * i / y_parts, y1 = y_count * (i + 1) / y_parts;
      const std::int64_t x0 = x_count * j / x_parts, x1 = x_count * (j + 1) / x_parts;
      found.emplace_back(Places(plan.y, y0, y1 - y0, images), Places(plan.x, x0, x1 - x0, 1));
    }
  return found;
}

}  // namespace pyseg::atrous_conv
