// Small components join a neighbour; superpixels get their numbers; labels are written. See connectivity.h.
#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <utility>

#include "connectivity/connectivity.h"
#include "connectivity/tile.h"

namespace pyseg::connectivity {

template <typename Visit>
void Components::each_node(Visit visit) const {
  for (std::int64_t row = 0; row < grid_.rows(); ++row) {
    const auto begin = static_cast<std::int32_t>(row * grid_.tiles_x * grid_.area());
    for (std::int32_t node = begin; node < begin + row_counts_.get()[row]; ++node) visit(node);
  }
}

// After this, parent_ is the root of every node, and a root has the size and first pixel of its component.
void Components::measure() {
  roots_.clear();
  each_node([&](std::int32_t node) {
    std::int32_t* parent = parent_.get();
    const std::int32_t root = parent[node] = parent[parent[node]];  // smaller nodes are flat already
    if (root == node) {
      roots_.push_back(node);
      return;
    }
    size_.get()[root] += size_.get()[node];
    first_.get()[root] = std::min(first_.get()[root], first_.get()[node]);
  });
}

// A better neighbour for `node` (a small node, or the root of a small component)?
void Components::offer(std::int32_t node, std::int32_t target, const Colors& colors) {
  const std::int32_t cluster = cluster_.get()[target];
  const float distance = colors.distance(cluster_.get()[node], cluster);
  // Distances are not negative, so their bits order as they do; ties: the lower cluster, then the first pixel.
  const std::uint64_t key =
      std::uint64_t{std::bit_cast<std::uint32_t>(distance)} << 32 | static_cast<std::uint32_t>(cluster);
  offer(node, target, key);
}

void Components::offer(std::int32_t node, std::int32_t target, std::uint64_t key) {
  std::uint64_t& best = key_.get()[node];
  if (key > best) return;
  if (key == best && first_.get()[target] >= first_.get()[best_.get()[node]]) return;
  best = key;
  best_.get()[node] = target;
}

// Which nodes of a tile touch: bit b of touches[a], where a or b is small; `marked` are the pixels of small ones.
void Components::touching(std::int64_t tile, const TileBits inside, const TileBits marked,
                          std::uint64_t* touches) const {
  const int side = grid_.tile;
  const std::uint64_t first_column = side == 16 ? 0x0001000100010001u : 0x0101010101010101u;
  const std::uint8_t* node = nodes(tile);
  std::uint64_t in[5] = {}, small[5] = {}, same_left[4], same_up[4];
  for (int r = 0; r < side; ++r) {
    in[1 + r * side / 64] |= std::uint64_t{inside[r]} << (r * side % 64);
    small[1 + r * side / 64] |= std::uint64_t{marked[r]} << (r * side % 64);
  }
  tile_kernels().compare(node, side, same_left, same_up);
  const auto mark = [&](std::uint64_t pairs, int w, int back) {
    for (; pairs != 0; pairs &= pairs - 1) {
      const int i = 64 * w + __builtin_ctzll(pairs), a = node[i - back], b = node[i];
      touches[a] |= std::uint64_t{1} << b;
      touches[b] |= std::uint64_t{1} << a;
    }
  };
  for (int w = 0; w < side * side / 64; ++w) {
    const auto above = [&](const std::uint64_t* x) { return x[w + 1] << side | x[w] >> (64 - side); };
    const std::uint64_t here = in[w + 1], left = here << 1 & ~first_column;
    mark(~same_left[w] & here & left & (small[w + 1] | small[w + 1] << 1), w, 1);
    mark(~same_up[w] & here & above(in) & (small[w + 1] | above(small)), w, side);
  }
}

// Calls meet(small node, neighbour) for the nodes of a tile that touch, each pair once where the tile has up to 64
// nodes.
template <typename Meet>
void Components::look_inside(std::int64_t tile, const TileBits in, const TileBits marked, const std::uint8_t* small,
                             Meet meet) const {
  const int side = grid_.tile, count = tile_counts_.get()[tile];
  if (count <= 64) {
    std::uint64_t touches[64] = {};
    touching(tile, in, marked, touches);
    for (int a = 0; a < count; ++a)
      if (small[a])
        for (std::uint64_t t = touches[a]; t != 0; t &= t - 1) meet(a, base(tile) + __builtin_ctzll(t));
    return;
  }
  const std::uint8_t* node = nodes(tile);
  const auto both = [&](int i, int j) {
    const int a = node[i], b = node[j];
    if (a == b) return;
    if (small[a]) meet(a, base(tile) + b);
    if (small[b]) meet(b, base(tile) + a);
  };
  for (int r = 0; r < side; ++r)
    for (unsigned bits = in[r]; bits != 0; bits &= bits - 1) {
      const int x = __builtin_ctz(bits), i = r * side + x;
      if (x > 0 && (in[r] >> (x - 1) & 1)) both(i, i - 1);
      if (r > 0 && (in[r - 1] >> x & 1)) both(i, i - side);
    }
}

// Calls meet(small node of the tile, node beyond a seam).
template <typename Meet>
void Components::look_across(std::int64_t row, std::int64_t tx, const TileBits marked, Meet meet) const {
  const int side = grid_.tile;
  const std::int64_t tile = row * grid_.tiles_x + tx, ty = row % grid_.tiles_y;
  const auto seam = [&](std::int64_t other, int a0, int b0, int step, unsigned both) {
    if (both != 0)
      each_pair(tile, a0, other, b0, step, both, [&](std::int32_t a, std::int32_t b) { meet(a - base(tile), b); });
  };
  TileBits beyond;
  std::memset(beyond, 0xFF, sizeof beyond);  // without a mask, what a pixel inside touches is inside
  for (const int step : {-1, 1}) {
    const int here = step < 0 ? 0 : side - 1, there = side - 1 - here;
    if (tx + step >= 0 && tx + step < grid_.tiles_x) {
      if (masked_) inside_of(row, tx + step, beyond);
      if (const unsigned c = column(marked, here)) seam(tile + step, here, there, side, c & column(beyond, there));
    }
    if (ty + step >= 0 && ty + step < grid_.tiles_y) {
      if (masked_) inside_of(row + step, tx, beyond);
      seam(tile + step * grid_.tiles_x, here * side, there * side, 1, marked[here] & beyond[there]);
    }
    const std::int64_t slice = row + step * grid_.tiles_y;
    if (slice < 0 || slice >= grid_.rows()) continue;
    if (masked_) inside_of(slice, tx, beyond);
    for (int r = 0; r < side; ++r)
      seam(tile + step * grid_.tiles_y * grid_.tiles_x, r * side, r * side, 1, marked[r] & beyond[r]);
  }
}

// Offers the small nodes of a row of tiles their kept neighbours; lists the small neighbours of those that have none.
void Components::look_around(std::int64_t row, std::int64_t min_size, const Colors& colors, Found& found) {
  const std::int32_t *parent = parent_.get(), *size = size_.get();
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    const std::int64_t tile = row * grid_.tiles_x + tx;
    const int count = tile_counts_.get()[tile];
    const std::int32_t first_node = base(tile);
    std::uint8_t small[256];
    bool any = false;
    for (int i = 0; i < count; ++i) {
      const std::int32_t node = first_node + i;
      small[i] = size[parent[node]] < min_size;
      if (!small[i]) continue;
      any = true;
      key_.get()[node] = ~std::uint64_t{0};
      best_.get()[node] = -1;
      if (parent[node] != node) found.fragments.push_back(node);
    }
    if (!any) continue;
    found.later.clear();
    const auto meet = [&](int a, std::int32_t neighbour) {
      const std::int32_t other = parent[neighbour];
      if (size[other] >= min_size) offer(first_node + a, other, colors);
      else if (other != parent[first_node + a]) found.later.push_back({first_node + a, other});
    };
    TileBits in, marked;
    inside_of(row, tx, in);
    tile_kernels().select(nodes(tile), grid_.tile, small, count, marked);
    for (int r = 0; r < grid_.tile; ++r) marked[r] &= in[r];
    look_inside(tile, in, marked, small, meet);
    look_across(row, tx, marked, meet);
    for (const Edge& e : found.later)
      if (best_.get()[e.small] < 0) found.edges.push_back({parent[e.small], e.other});
  }
}

// target_[root]: the kept component that a component belongs to, itself where it is kept.
void Components::absorb(const Executor& exec, std::int64_t min_size, const Colors& colors) {
  std::int32_t *target = target_.get(), *best = best_.get();
  found_.resize(static_cast<std::size_t>(grid_.rows()));
  exec.each(grid_.rows(), [&](std::int64_t row) {
    Found& found = found_[static_cast<std::size_t>(row)];
    found.edges.clear();
    found.fragments.clear();
    look_around(row, min_size, colors, found);
  });
  for (const Found& found : found_)
    for (const std::int32_t node : found.fragments)
      if (best[node] >= 0) offer(parent_.get()[node], best[node], key_.get()[node]);
  for (const std::int32_t root : roots_) target[root] = size_.get()[root] < min_size ? best[root] : root;

  std::vector<Edge>& open = open_;  // pairs of small components, the first of which has no target yet
  open.clear();
  const auto settled = [&](const Edge& e) { return target[e.small] >= 0; };
  for (const Found& found : found_)
    std::copy_if(found.edges.begin(), found.edges.end(), std::back_inserter(open),
                 [&](const Edge& e) { return !settled(e); });
  while (!open.empty()) {
    bool any = false;
    for (const Edge& e : open) {
      if (target[e.other] < 0) continue;
      offer(e.small, target[e.other], colors);
      any = true;
    }
    if (!any) keep_largest(open);
    std::erase_if(open, [&](const Edge& e) {
      if (best[e.small] >= 0) target[e.small] = best[e.small];
      return settled(e);
    });
  }
  for (const std::int32_t root : roots_)  // an island of the mask that is one small component touches nothing
    if (target[root] < 0) target[root] = root;
}

// `edges` join small components only: the largest of each connected group (ties: first) is kept.
void Components::keep_largest(const std::vector<Edge>& edges) {
  std::int32_t* group = best_.get();  // all are -1 here: each a group of its own
  const auto root = [&](std::int32_t i) {
    while (group[i] >= 0) i = group[i];
    return i;
  };
  const auto rank = [&](std::int32_t i) { return std::pair(-size_.get()[i], first_.get()[i]); };
  for (const Edge& e : edges) {
    const std::int32_t a = root(e.small), b = root(e.other);
    if (a == b) continue;
    if (rank(a) < rank(b)) group[b] = a;
    else group[a] = b;
  }
  std::vector<std::int32_t> largest;
  for (const Edge& e : edges)
    if (group[e.small] < 0) largest.push_back(e.small);
  for (const Edge& e : edges) group[e.small] = -1;
  for (const std::int32_t node : largest) best_.get()[node] = node;
}

// Ranks the kept components by cluster, then by first pixel; the rank replaces target_ of a kept root's size_.
std::int64_t Components::number(std::int64_t clusters) {
  starts_.assign(static_cast<std::size_t>(clusters) + 1, 0);
  const auto each_kept = [&](auto visit) {
    for (const std::int32_t root : roots_)
      if (target_.get()[root] == root) visit(root);
  };
  each_kept([&](std::int32_t node) { ++starts_[static_cast<std::size_t>(cluster_.get()[node]) + 1]; });
  for (std::size_t k = 0; k < static_cast<std::size_t>(clusters); ++k) starts_[k + 1] += starts_[k];
  const std::int64_t count = starts_.back();
  kept_.resize(static_cast<std::size_t>(count));
  each_kept([&](std::int32_t node) {
    kept_[static_cast<std::size_t>(starts_[static_cast<std::size_t>(cluster_.get()[node])]++)] = node;
  });
  for (std::size_t i = 0; i < kept_.size();) {
    std::size_t j = i + 1;
    while (j < kept_.size() && cluster_.get()[kept_[j]] == cluster_.get()[kept_[i]]) ++j;
    if (j - i > 1)
      std::sort(kept_.begin() + static_cast<std::ptrdiff_t>(i), kept_.begin() + static_cast<std::ptrdiff_t>(j),
                [&](std::int32_t a, std::int32_t b) { return first_.get()[a] < first_.get()[b]; });
    i = j;
  }
  for (std::size_t i = 0; i < kept_.size(); ++i) size_.get()[kept_[i]] = static_cast<std::int32_t>(i);
  return count;
}

// starts_[k]: the number of cluster k among those that have a pixel.
std::int64_t Components::number_clusters(std::int64_t clusters) {
  starts_.assign(static_cast<std::size_t>(clusters), 0);
  each_node([&](std::int32_t node) { starts_[static_cast<std::size_t>(cluster_.get()[node])] = 1; });
  std::int32_t count = 0;
  for (auto& start : starts_) count += std::exchange(start, count);
  return count;
}

template <typename LabelOf>
void Components::write(const Executor& exec, std::int32_t outside, std::int32_t* out, LabelOf label_of) const {
  const auto& kernels = tile_kernels();
  exec.each(grid_.rows(), [&](std::int64_t row) {
    const std::int64_t z = row / grid_.tiles_y, y0 = row % grid_.tiles_y * grid_.tile;
    const std::int64_t rows = std::min<std::int64_t>(grid_.tile, grid_.height - y0);
    for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
      const std::int64_t tile = row * grid_.tiles_x + tx, x0 = tx * grid_.tile;
      const int count = tile_counts_.get()[tile];
      std::int32_t table[256];
      for (int i = 0; i < count; ++i) table[i] = label_of(base(tile) + i);
      const int columns = static_cast<int>(std::min<std::int64_t>(grid_.tile, grid_.width - x0));
      for (std::int64_t r = 0; r < rows; ++r) {
        std::int32_t* line = out + (z * grid_.height + y0 + r) * grid_.width + x0;
        kernels.expand(nodes(tile) + r * grid_.tile, columns, table, count, line);
        if (!masked_) continue;
        const unsigned in = inside_.get()[tile * 16 + r];
        for (int x = 0; x < columns; ++x)
          if (!(in >> x & 1)) line[x] = outside;
      }
    }
  });
}

std::int64_t Components::finish(const Executor& exec, std::int64_t clusters, std::int64_t min_size,
                                const Colors& colors, std::int32_t start_label, std::int32_t outside,
                                std::int32_t* out) {
  join(exec);
  measure();
  absorb(exec, min_size, colors);
  const std::int64_t count = number(clusters);
  write(exec, outside, out,
        [&](std::int32_t node) { return start_label + size_.get()[target_.get()[parent_.get()[node]]]; });
  return count;
}

std::int64_t Components::finish_clusters(const Executor& exec, std::int64_t clusters, std::int32_t start_label,
                                         std::int32_t outside, std::int32_t* out) {
  const std::int64_t count = number_clusters(clusters);
  write(exec, outside, out,
        [&](std::int32_t node) { return start_label + starts_[static_cast<std::size_t>(cluster_.get()[node])]; });
  return count;
}

}  // namespace pyseg::connectivity
