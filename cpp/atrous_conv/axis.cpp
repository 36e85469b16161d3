#include "atrous_conv/axis.h"

#include <algorithm>

namespace pyseg::atrous_conv {
namespace {

struct Axis {
  std::int64_t in, out, padding, rate;

  bool inside(std::int64_t position) const { return position >= 0 && position < in; }

  // Of output o: bit k where tap k reads the input.
  std::uint8_t taps(std::int64_t o) const {
    std::uint8_t mask = 0;
    for (int k = 0; k < 3; ++k)
      if (inside(o - padding + k * rate)) mask = static_cast<std::uint8_t>(mask | 1u << k);
    return mask;
  }

  // Two or three outputs, all that their phase has, with the padding's taps at its ends and only there.
  bool short_phase(std::int64_t o, std::int64_t count) const {
    for (std::int64_t i = 0; i < count; ++i) {
      const int all = 7 & ~(i == 0 ? 1 : 0) & ~(i == count - 1 ? 4 : 0);
      if (taps(o + i * rate) != all) return false;
    }
    return true;
  }

  Piece piece(PieceKind kind, std::int64_t o) const {
    Piece p{kind, o, o - padding, 0, 0, 0, 0, {}};
    switch (kind) {
      case PieceKind::single:
        p.taps = taps(o);
        p.inputs = 3;
        p.outputs = 1;
        for (std::uint8_t k = 0; k < 3; ++k)
          if (p.taps >> k & 1) p.weights[static_cast<std::size_t>(p.products++)] = k;
        return p;
      case PieceKind::pair:
        p.input += rate;
        p.inputs = p.outputs = 2;
        p.products = 3;
        p.weights = {g1, g2_minus_g1, g0_minus_g1};
        return p;
      case PieceKind::triple:
        p.input += rate;
        p.inputs = p.outputs = 3;
        p.products = 6;
        p.weights = {g1, g2_minus_g1, g0_minus_g1, g2, g0, g1};
        return p;
      case PieceKind::f2:
        p.inputs = p.products = 4;
        p.outputs = 2;
        p.weights = {g0, half_sum, half_alternating, g2};
        return p;
      case PieceKind::f4:
        p.inputs = p.products = 6;
        p.outputs = 4;
        p.weights = {g0, half_sum, half_alternating, at_two, at_minus_two, g2};
        return p;
    }
    return p;
  }
};

}  // namespace

std::vector<Piece> pieces(std::int64_t in, std::int64_t out, std::int64_t padding, std::int64_t rate, bool with_f4) {
  const Axis axis{in, out, padding, rate};
  std::vector<Piece> found;
  const std::int64_t longest = (out + rate - 1) / rate;
  for (std::int64_t o = 0; o < std::min(rate, out); ++o) {
    const std::int64_t count = (out - o + rate - 1) / rate;
    // Phases differ by one output at most: short pieces only where all can be, or there would be twice the weights.
    if (longest <= 3 && (count == 2 || count == 3) && axis.short_phase(o, count)) {
      found.push_back(axis.piece(count == 2 ? PieceKind::pair : PieceKind::triple, o));
      continue;
    }
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t left = count - i;
      const PieceKind kind = with_f4 && left >= 4 ? PieceKind::f4 : left >= 2 ? PieceKind::f2 : PieceKind::single;
      const Piece p = axis.piece(kind, o + i * rate);
      if (p.products > 0 || kind == PieceKind::single) found.push_back(p);
      i += p.outputs;
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Piece& a, const Piece& b) { return a.kind < b.kind; });
  return found;
}

}  // namespace pyseg::atrous_conv
