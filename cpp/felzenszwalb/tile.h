// A tile of the image: what its own edges decide, without knowing the rest of the image.
//
// Edges come in ascending order. An edge e between components A and B unites them where its weight is below what both
// tolerate; that depends on A and B as they are when all edges before e have done their part. Of the edges that leave
// the tile, only the weights are known here. So from the first edge on that leaves it, a component may be larger than
// it looks: it is *open*. An edge e then is
//   * of no effect, where A = B: united they stay;
//   * refused, where one of the two is closed and tolerates less: whatever the other is;
//   * decided by the book, where both are closed;
//   * put off otherwise, and both are open from then on: edges after e must wait for e.
// This is what the walk through all edges of the image would do. By induction over the edges in ascending order: every
// edge before e that touches A or B was either decided, as there, or is put off, and then A or B is open. So a closed
// component is at e what it is there. And edges that are put off, walked through in order after all tiles are done,
// find all edges before them done. Nothing depends on how the image is cut.
//
// Small components are absorbed by the same rules, where "small" is what counts: a component of at least min_size
// pixels stays so whatever joins it and need not be waited for; a small one is open from the start where it was open
// before. A group of components that became one here has at most one that was open, a large one: its size and tolerance
// are the group's for what follows, which sees groups only.
//
// Of the edges put off between the same two components only the first counts, in both walks: if it is refused, so are
// the others. They are found by a hash table of pairs (pairs.h).
//
// Layout: 128x128 pixels; weights, items and components take 2 MB, of which a walk uses a quarter at random. Smaller
// tiles put more off; larger ones leave the cache, and 16 bits would not do for a pixel. What bounds it: branches
// that no processor foresees, one or two an edge. Hence the components are looked up in a table, not in trees, and the
// walks go by blocks: what remains of no effect, most edges, is left out without a branch, and the others are decided
// then.
#pragma once

#include <cstdint>
#include <vector>

#include "core/workspace.h"
#include "felzenszwalb/order.h"
#include "felzenszwalb/pairs.h"
#include "felzenszwalb/smooth.h"

namespace pyseg::felzenszwalb {

constexpr int kColumnBits = 7, kRowBits = 7, kBits = kRowBits + kColumnBits;
constexpr int kColumns = 1 << kColumnBits, kRows = 1 << kRowBits, kArea = 1 << kBits;

// Kinds of edges: from a pixel to its neighbour right, down, right down; and from a pixel's right neighbour to the one
// below the pixel. The pixel is the edge's upper left corner.
constexpr int kKinds = 4;
constexpr int kFromX[kKinds] = {0, 0, 0, 1}, kToX[kKinds] = {1, 0, 1, 0}, kToY[kKinds] = {0, 1, 1, 1};

// Components of the whole image; of those of a tile the numbers begin at the number of pixels in the tiles before it.
struct Components {
  std::int32_t* of;      // [height, width] the component of a pixel; ~component where the pixel's was closed at the end
  std::int32_t* parent;  // the component it is part of, or itself
  std::int32_t* size;    // pixels; at least min_size where it has as many
  float* tolerance;      // of weights; -1 where it is complete
  std::int32_t* first;   // its first pixel, in raster order
};

// An edge put off, between two components.
struct Edge {
  double weight;
  std::uint64_t order;  // between edges of equal weight: kind, corner; the lowest bit: only small components matter
  std::int32_t a, b;
};

// An edge between pixels of two tiles.
struct Crossing {
  double weight;
  int kind;
  std::int32_t corner;
};

struct TilePlace {
  std::int64_t image_height, image_width, y, x;
  int height, width;
  std::int32_t first_component;
};

inline std::uint64_t order_of(int kind, std::int64_t corner, bool small_only) {
  return (static_cast<std::uint64_t>(kind) << 32 | static_cast<std::uint64_t>(corner)) << 1 | (small_only ? 1 : 0);
}

class Tile {
 public:
  // Adds to `put_off` and `crossings`, writes the tile's part of `components`. Returns how many it has.
  int segment(const Band& band, std::int64_t channels, const TilePlace& place, double k, std::int64_t min_size,
              const Components& components, std::vector<Edge>& put_off, std::vector<Crossing>& crossings);

 private:
  using Pixel = std::uint16_t;

  int at(int kind, int y, int x) const { return kind * kPlane + (y + 1) * kRow + x + 1; }
  double weight(std::uint32_t edge) const;
  Pixel join(Pixel a, Pixel b);
  void weigh(const Band& band, std::int64_t channels);
  double nearest_outside(int y, int x) const;
  std::uint64_t* collect_leaving(bool zeros, std::uint64_t* out) const;
  void collect(bool zeros_unite);
  void sort(bool zeros_unite);
  void unite(double k);
  void decide(std::uint64_t& item, double k);
  void close(std::int64_t min_size);
  void absorb(std::int64_t min_size);
  void absorb_by(std::uint32_t edge, std::int64_t min_size);
  int number(const Components& components);
  void emit(std::vector<Edge>& put_off, std::vector<Crossing>& crossings) const;

  // Weights of the edges whose corners are in the tile, or in the row above or the column to the left.
  static constexpr int kRow = kColumns + 2 * kLanes, kPlane = (kRows + 1) * kRow;

  TilePlace place_{};
  std::vector<double> weights_ = std::vector<double>(kKinds * kPlane);
  // An edge: its two pixels (y, then x), kBits each; the same twice: one that leaves the tile.
  std::int64_t count_ = 0;
  std::vector<std::uint64_t> items_ = std::vector<std::uint64_t>(kKinds * kArea + 2 * (kRows + kColumns)),
                             other_ = items_;
  std::vector<Tie> ties_;
  // The component of each pixel, named by one of its pixels, and the component's next pixel, in a ring: the smaller of
  // two is renamed when they join, so that no tree has to be climbed.
  Pixel of_[kArea], next_[kArea];
  // By component. Tolerance: infinity where it is open; what it was before is in kept_, and -1 for a closed one.
  std::uint16_t size_[kArea], open_size_[kArea], number_[kArea];
  float tolerance_[kArea], kept_[kArea];
  std::uint16_t mass_[kArea];  // the size of a small closed component; kOpen, kLarge
  bool open_[kArea];           // pixels
  Pairs pairs_;
  std::vector<std::uint32_t> united_late_, absorbed_late_;  // edges put off, in order
};

}  // namespace pyseg::felzenszwalb
