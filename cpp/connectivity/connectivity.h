// Connected components of a cluster map, and the absorption of small ones: the last step of every superpixel algorithm.
//
// The map arrives tile by tile (16x16 or 8x8 pixels of one slice), while it is still in cache. Each tile is cut into
// its own components by runs of bits; only these *nodes* (a handful a tile) enter the global union-find, so that all
// further steps work on tens of thousands of nodes instead of millions of pixels, and the labels are written once, at
// the end.
//
// What is defined, whatever the number of threads:
//  * components are 4-connected (6-connected in volumes) and of one cluster;
//  * a component of fewer than min_size pixels is small. Round by round, each small component that touches a kept or
//  already
//    absorbed one joins the superpixel nearest in colour, ties by cluster, then by first pixel in raster order;
//  * where a connected region of the mask has no kept component, its largest (ties: first) is kept;
//  * superpixels are numbered by cluster, then by first pixel.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "connectivity/tile.h"
#include "core/parallel.h"
#include "core/workspace.h"

namespace pyseg::connectivity {

struct Grid {
  std::int64_t depth, height, width;
  std::int64_t tiles_x, tiles_y;
  int tile;  // 16 or 8

  std::int64_t rows() const { return depth * tiles_y; }  // rows of tiles; row = z * tiles_y + ty
  std::int64_t tiles() const { return rows() * tiles_x; }
  std::int64_t area() const { return std::int64_t{tile} * tile; }
};

// Bit x of word r: pixel (r, x) of a tile.
using TileBits = std::uint16_t[16];

// The clusters' colours, of which small components choose the nearest (L1): bytes, or else floats.
struct Colors {
  const std::uint8_t* bytes = nullptr;  // [clusters], `stride` bytes apart
  std::int64_t stride = 0;
  const float* floats = nullptr;  // [clusters, channels]
  std::int64_t channels = 3;

  float distance(std::int32_t a, std::int32_t b) const {
    if (bytes != nullptr) {
      const std::uint8_t *p = bytes + a * stride, *q = bytes + b * stride;
      return static_cast<float>(std::abs(p[0] - q[0]) + std::abs(p[1] - q[1]) + std::abs(p[2] - q[2]));
    }
    float d = 0;
    for (std::int64_t c = 0; c < channels; ++c) d += std::abs(floats[a * channels + c] - floats[b * channels + c]);
    return d;
  }
};

class Components {
 public:
  // `masked`: pixels may lie outside; every add() then gives them.
  void begin(const Grid& grid, bool masked);

  // The tile's pixels in raster order: clusters[place[i]]; 64 bytes before `place` are readable. Tiles of a row come
  // from left to right, rows from any thread. `inside` is null where the image's border alone cuts the tile.
  void add(std::int64_t row, std::int64_t tx, const std::uint8_t* place, const std::int32_t* clusters,
           const std::uint16_t* inside);

  // Without connectivity: clusters that have a pixel are numbered in order. Returns the number of labels.
  std::int64_t finish_clusters(const Executor& exec, std::int64_t clusters, std::int32_t start_label,
                               std::int32_t outside, std::int32_t* out);

  // Joins the tiles' nodes, absorbs small components, numbers the rest and writes [depth, height, width] labels;
  // `outside` where the mask is off. Returns the number of labels.
  std::int64_t finish(const Executor& exec, std::int64_t clusters, std::int64_t min_size, const Colors& colors,
                      std::int32_t start_label, std::int32_t outside, std::int32_t* out);

 private:
  struct Edge {
    std::int32_t small, other;
  };

  // What a row of tiles tells of its small nodes: those that are not their component's root, and their small
  // neighbours.
  struct Found {
    std::vector<std::int32_t> fragments;
    std::vector<Edge> edges, later;
  };

  void inside_of(std::int64_t row, std::int64_t tx, TileBits bits) const;
  std::int32_t base(std::int64_t tile) const { return bases_.get()[tile]; }
  std::uint8_t* nodes(std::int64_t tile) const { return nodes_.get() + 64 + tile * grid_.area(); }
  std::int32_t find(std::int32_t node) const;
  void unite(std::int32_t a, std::int32_t b);
  template <typename Visit>
  void each_pair(std::int64_t tile, int a0, std::int64_t other, int b0, int step, unsigned both, Visit visit) const;
  void join_seam(std::int64_t tile, int a0, std::int64_t other, int b0, int step, unsigned both);
  unsigned column(const TileBits bits, int x) const;
  void join_left(std::int64_t row, std::int64_t tx);
  void join_rows(std::int64_t row, std::int64_t below);
  void join_slices(std::int64_t row, std::int64_t behind);
  void join(const Executor& exec);
  void measure();
  void offer(std::int32_t node, std::int32_t target, const Colors& colors);
  void offer(std::int32_t node, std::int32_t target, std::uint64_t key);
  void touching(std::int64_t tile, const TileBits inside, const TileBits marked, std::uint64_t* touches) const;
  template <typename Meet>
  void look_inside(std::int64_t tile, const TileBits in, const TileBits marked, const std::uint8_t* small,
                   Meet meet) const;
  template <typename Meet>
  void look_across(std::int64_t row, std::int64_t tx, const TileBits marked, Meet meet) const;
  void look_around(std::int64_t row, std::int64_t min_size, const Colors& colors, Found& found);
  void absorb(const Executor& exec, std::int64_t min_size, const Colors& colors);
  void keep_largest(const std::vector<Edge>& edges);
  std::int64_t number(std::int64_t clusters);
  std::int64_t number_clusters(std::int64_t clusters);
  template <typename LabelOf>
  void write(const Executor& exec, std::int32_t outside, std::int32_t* out, LabelOf label_of) const;
  template <typename Visit>
  void each_node(Visit visit) const;

  Grid grid_{};
  bool masked_ = false;
  Scratch<std::uint8_t> nodes_;        // [tiles, area] node of each pixel, counted within its tile
  Scratch<std::int32_t> bases_;        // [tiles] first node of a tile
  Scratch<std::int32_t> tile_counts_;  // [tiles]
  Scratch<std::int32_t> row_counts_;   // [rows] nodes so far
  Scratch<std::uint16_t> inside_;      // [tiles, 16] where masked
  Scratch<std::int32_t> parent_, size_, cluster_, first_, target_, best_;  // [nodes], tiles_x * area a row
  Scratch<std::uint64_t> key_;                                             // [nodes]
  std::vector<Found> found_;
  std::vector<Edge> open_;
  std::vector<std::int32_t> roots_, starts_, kept_;
};

// The pairs of nodes along a seam: visit(node of tile, node of other) once for each run of equal pairs among the lanes
// in `both`. A lane is a pixel of tile at a0 + i * step, beside one of other at b0 + i * step.
template <typename Visit>
void Components::each_pair(std::int64_t tile, int a0, std::int64_t other, int b0, int step, unsigned both,
                           Visit visit) const {
  std::uint8_t a[16], b[16];
  const std::uint8_t *p = nodes(tile) + a0, *q = nodes(other) + b0;
  if (step == 1) {
    std::memcpy(a, p, 16);
    std::memcpy(b, q, 16);
  } else {
    for (int i = 0; i < grid_.tile; ++i) {
      a[i] = p[i * step];
      b[i] = q[i * step];
    }
  }
  // A run that begins outside of `both` is seen where it comes in.
  for (unsigned m = both & (tile_kernels().changes(a, b) | ~(both << 1)); m != 0; m &= m - 1) {
    const int i = __builtin_ctz(m);
    visit(base(tile) + a[i], base(other) + b[i]);
  }
}

}  // namespace pyseg::connectivity
