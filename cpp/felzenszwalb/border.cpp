#include "felzenszwalb/border.h"

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "felzenszwalb/order.h"

namespace pyseg::felzenszwalb {
namespace {

constexpr std::int64_t kAhead = 16;

std::int32_t find(std::int32_t* parent, std::int32_t c) {
  while (parent[c] != c) c = parent[c] = parent[parent[c]];
  return c;
}

std::int32_t unite(const Components& components, std::int32_t a, std::int32_t b) {
  if (components.size[a] < components.size[b]) std::swap(a, b);
  components.parent[b] = a;
  components.size[a] += components.size[b];
  return a;
}

}  // namespace

void resolve(const std::vector<Crossing>& crossings, std::int64_t image_width, const Components& components,
             std::int64_t min_size, std::vector<Edge>& edges) {
  for (const Crossing& c : crossings) {
    const std::int32_t from = components.of[c.corner + kFromX[c.kind]];
    const std::int32_t to = components.of[c.corner + kToX[c.kind] + kToY[c.kind] * image_width];
    const std::int32_t a = from < 0 ? ~from : from, b = to < 0 ? ~to : to;
    const bool open = from >= 0 && to >= 0;
    if (!open && components.size[a] >= min_size && components.size[b] >= min_size) continue;
    edges.push_back({c.weight, order_of(c.kind, c.corner, !open), a, b});
  }
}

void Border::walk(const std::vector<const std::vector<Edge>*>& lists, double k, std::int64_t min_size,
                  const Components& components) {
  std::int64_t n = 0;
  for (const auto* list : lists) n += static_cast<std::int64_t>(list->size());
  check(n <= 0xFFFFFFFF, "felzenszwalb: image must have fewer than 2^32 edges that its tiles leave over, got ", n);
  Edge* edges = edges_.take(n);
  std::uint64_t *items = items_.take(n), *other = other_.take(n);
  std::int64_t i = 0;
  for (const auto* list : lists)
    for (const Edge& e : *list) {
      edges[i] = e;
      items[i] = static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(static_cast<float>(e.weight))) << 32 |
                 static_cast<std::uint64_t>(i);
      ++i;
    }
  for (int shift = 32; shift < 64; shift += 16) {
    radix_pass<8>(items, other, n, shift);
    radix_pass<8>(other, items, n, shift + 8);
  }
  const auto edge_of = [&](std::uint64_t item) -> const Edge& { return edges[item & 0xFFFFFFFF]; };
  settle(items, n, 32, ties_,
         [&](std::uint64_t item) -> Tie { return {edge_of(item).weight, edge_of(item).order, item}; });

  const auto ahead = [&](std::int64_t at, std::int64_t end) {
    if (at + 2 * kAhead >= end) return;
    __builtin_prefetch(&edge_of(items[at + 2 * kAhead]));
    const Edge& e = edge_of(items[at + kAhead]);
    __builtin_prefetch(components.parent + e.a);
    __builtin_prefetch(components.parent + e.b);
  };
  std::int64_t left = 0;
  for (i = 0; i < n; ++i) {
    ahead(i, n);
    const Edge& e = edge_of(items[i]);
    const std::int32_t a = find(components.parent, e.a), b = find(components.parent, e.b);
    if (a == b) continue;
    if ((e.order & 1) == 0 &&
        e.weight < static_cast<double>(std::min(components.tolerance[a], components.tolerance[b]))) {
      const std::int32_t root = unite(components, a, b);
      components.tolerance[root] = static_cast<float>(e.weight + k / components.size[root]);
    } else {
      items[left++] = items[i];
    }
  }
  for (i = 0; i < left; ++i) {
    ahead(i, left);
    const Edge& e = edge_of(items[i]);
    const std::int32_t a = find(components.parent, e.a), b = find(components.parent, e.b);
    if (a != b && std::min(components.size[a], components.size[b]) < min_size) unite(components, a, b);
  }
}

std::int64_t Border::label(const std::vector<Part>& tiles, std::int64_t pixels, std::int32_t start_label,
                           const Components& components, const Executor& exec) {
  const std::int64_t words = (pixels + 63) / 64;
  std::uint64_t* marks = marks_.take(words);
  std::int32_t* before = before_.take(words);
  std::fill_n(marks, words, 0);
  for (const Part& tile : tiles)
    for (std::int32_t c = tile.first_component; c < tile.first_component + tile.count; ++c) {
      const std::int32_t root = find(components.parent, c);
      components.first[root] = std::min(components.first[root], components.first[c]);
    }
  for (const Part& tile : tiles)
    for (std::int32_t c = tile.first_component; c < tile.first_component + tile.count; ++c)
      if (components.parent[c] == c) marks[components.first[c] / 64] |= std::uint64_t{1} << components.first[c] % 64;
  std::int32_t count = 0;
  for (std::int64_t i = 0; i < words; ++i) {
    before[i] = count;
    count += std::popcount(marks[i]);
  }
  std::int32_t* label = components.size;  // no longer needed
  for (const Part& tile : tiles)
    for (std::int32_t c = tile.first_component; c < tile.first_component + tile.count; ++c) {
      const std::int32_t first = components.first[find(components.parent, c)];
      const std::uint64_t earlier = marks[first / 64] & ((std::uint64_t{1} << first % 64) - 1);
      label[c] = start_label + before[first / 64] + std::popcount(earlier);
    }
  exec.run(pixels, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t c = components.of[i];
      components.of[i] = label[c ^ c >> 31];
    }
  });
  return count;
}

}  // namespace pyseg::felzenszwalb
