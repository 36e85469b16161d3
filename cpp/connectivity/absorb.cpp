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
  each_node([&](std::int32_t node) {
    std::int32_t* parent = parent_.get();
    const std::int32_t root = parent[node] = parent[parent[node]];  // smaller nodes are flat already
    if (root == node) return;
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

// Which nodes of a tile touch: bit b of touches[a], for the small ones among up to 64 nodes.
void Components::touching(std::int64_t tile, const TileBits bits, const std::uint8_t* small,
                          std::uint64_t* touches) const {
  const int side = grid_.tile, words = side * side / 64, count = tile_counts_.get()[tile];
  const std::uint64_t first_column = side == 16 ? 0x0001000100010001u : 0x0101010101010101u;
  const std::uint8_t* node = nodes(tile);
  std::uint64_t in[5] = {}, same_left[4], same_up[4], marked[5] = {};
  for (int r = 0; r < side; ++r) in[1 + r * side / 64] |= std::uint64_t{bits[r]} << (r * side % 64);
  tile_kernels().compare(node, side, same_left, same_up);
  tile_kernels().select(node, side * side, small, count, marked + 1);
  std::memset(touches, 0, static_cast<std::size_t>(count) * sizeof(std::uint64_t));
  const auto mark = [&](std::uint64_t pairs, int w, int back) {
    for (; pairs != 0; pairs &= pairs - 1) {
      const int i = 64 * w + __builtin_ctzll(pairs), a = node[i - back], b = node[i];
      touches[a] |= std::uint64_t{1} << b;
      touches[b] |= std::uint64_t{1} << a;
    }
  };
  for (int w = 0; w < words; ++w) {
    const auto above = [&](const std::uint64_t* x) { return x[w + 1] << side | x[w] >> (64 - side); };
    const std::uint64_t here = in[w + 1], left = here << 1 & ~first_column;
    mark(~same_left[w] & here & left & (marked[w + 1] | marked[w + 1] << 1), w, 1);
    mark(~same_up[w] & here & above(in) & (marked[w + 1] | above(marked)), w, side);
  }
}

// Offers the small nodes of a row of tiles their kept neighbours, and lists their small ones.
void Components::look_around(std::int64_t row, std::int64_t min_size, const Colors& colors, Found& found) {
  const int side = grid_.tile;
  const std::int32_t *parent = parent_.get(), *size = size_.get();
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    const std::int64_t tile = row * grid_.tiles_x + tx;
    const int count = tile_counts_.get()[tile];
    const std::int32_t first_node = base(tile);
    std::uint8_t small[256];
    bool any = false;
    for (int i = 0; i < count; ++i) {
      small[i] = size[parent[first_node + i]] < min_size;
      any |= small[i] != 0;
    }
    if (!any) continue;
    for (int i = 0; i < count; ++i) {
      if (!small[i]) continue;
      key_.get()[first_node + i] = ~std::uint64_t{0};
      best_.get()[first_node + i] = -1;
      if (parent[first_node + i] != first_node + i) found.fragments.push_back(first_node + i);
    }
    const auto meet = [&](int a, std::int32_t neighbour) {
      const std::int32_t root = parent[first_node + a], other = parent[neighbour];
      if (root == other) return;
      if (size[other] >= min_size) offer(first_node + a, other, colors);
      else found.edges.push_back({root, other});
    };
    TileBits in;
    inside_of(row, tx, in);
    if (count <= 64) {
      std::uint64_t touches[64];
      touching(tile, in, small, touches);
      for (int a = 0; a < count; ++a)
        if (small[a])
          for (std::uint64_t t = touches[a]; t != 0; t &= t - 1) meet(a, first_node + __builtin_ctzll(t));
    } else {
      for (int i = 0; i < side * side; ++i) {
        const int x = i % side, r = i / side;
        const auto both = [&](int j) {
          const int a = nodes(tile)[i], b = nodes(tile)[j];
          if (a == b || !(in[j / side] >> (j % side) & 1)) return;
          if (small[a]) meet(a, first_node + b);
          if (small[b]) meet(b, first_node + a);
        };
        if (!(in[r] >> x & 1)) continue;
        if (x > 0) both(i - 1);
        if (r > 0) both(i - side);
      }
    }
    look_across(row, tx, in, small, meet);
  }
}

// The seams of a tile: calls meet(node of the tile, node beyond) for its small nodes.
template <typename Meet>
void Components::look_across(std::int64_t row, std::int64_t tx, const TileBits in, const std::uint8_t* small,
                             Meet meet) const {
  const int side = grid_.tile;
  const std::int64_t tile = row * grid_.tiles_x + tx, ty = row % grid_.tiles_y;
  const auto seam = [&](std::int64_t other, int a0, int b0, int step, unsigned both) {
    int last_a = -1, last_b = -1;
    for (; both != 0; both &= both - 1) {
      const int i = __builtin_ctz(both) * step, a = nodes(tile)[a0 + i], b = nodes(other)[b0 + i];
      if (!small[a] || (a == last_a && b == last_b)) continue;
      meet(last_a = a, base(other) + (last_b = b));
    }
  };
  const auto column = [&](const TileBits bits, int x) {
    unsigned c = 0;
    for (int r = 0; r < side; ++r) c |= (bits[r] >> x & 1u) << r;
    return c;
  };
  TileBits beyond;
  for (const int step : {-1, 1}) {
    const bool back = step < 0;
    if (tx + step >= 0 && tx + step < grid_.tiles_x) {
      const int here = back ? 0 : side - 1, there = side - 1 - here;
      inside_of(row, tx + step, beyond);
      seam(tile + step, here, there, side, column(in, here) & column(beyond, there));
    }
    if (ty + step >= 0 && ty + step < grid_.tiles_y) {
      const int here = back ? 0 : side - 1, there = side - 1 - here;
      inside_of(row + step, tx, beyond);
      seam(tile + step * grid_.tiles_x, here * side, there * side, 1, in[here] & beyond[there]);
    }
    const std::int64_t slice = row + step * grid_.tiles_y;
    if (slice < 0 || slice >= grid_.rows()) continue;
    inside_of(slice, tx, beyond);
    for (int r = 0; r < side; ++r)
      seam(tile + step * grid_.tiles_y * grid_.tiles_x, r * side, r * side, 1, in[r] & beyond[r]);
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
  each_node([&](std::int32_t node) {
    if (parent_.get()[node] == node) target[node] = size_.get()[node] < min_size ? best[node] : node;
  });

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
    for (const Edge& e : open)
      if (best[e.small] >= 0) target[e.small] = best[e.small];
    std::erase_if(open, settled);
  }
  each_node([&](std::int32_t node) {  // an island of the mask that is one small component touches nothing
    if (parent_.get()[node] == node && target[node] < 0) target[node] = node;
  });
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
    each_node([&](std::int32_t node) {
      if (parent_.get()[node] == node && target_.get()[node] == node) visit(node);
    });
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
