// Tiles to nodes, and the union of nodes across tiles' seams. See connectivity.h.
#include <algorithm>
#include <cstring>

#include "connectivity/connectivity.h"
#include "connectivity/tile.h"

namespace pyseg::connectivity {

void Components::begin(const Grid& grid, bool masked) {
  grid_ = grid;
  masked_ = masked;
  const std::int64_t tiles = grid.tiles(), pixels = tiles * grid.area();
  nodes_.take(pixels + 128);
  bases_.take(tiles);
  tile_counts_.take(tiles);
  row_counts_.take(grid.rows());
  std::memset(row_counts_.get(), 0, static_cast<std::size_t>(grid.rows()) * sizeof(std::int32_t));
  if (masked) inside_.take(tiles * 16);
  for (auto* array : {&parent_, &size_, &cluster_, &first_, &target_, &best_}) array->take(pixels);
  key_.take(pixels);
}

void Components::inside_of(std::int64_t row, std::int64_t tx, TileBits bits) const {
  if (masked_) {
    std::memcpy(bits, inside_.get() + (row * grid_.tiles_x + tx) * 16, sizeof(TileBits));
    return;
  }
  const std::int64_t rows = grid_.height - row % grid_.tiles_y * grid_.tile, columns = grid_.width - tx * grid_.tile;
  if (grid_.tile == 16 && rows >= 16 && columns >= 16) {
    std::memset(bits, 0xFF, sizeof(TileBits));
    return;
  }
  const auto line = static_cast<std::uint16_t>((1u << std::min<std::int64_t>(columns, grid_.tile)) - 1);
  for (int r = 0; r < 16; ++r) bits[r] = r < rows && r < grid_.tile ? line : 0;
}

void Components::add(std::int64_t row, std::int64_t tx, const std::uint8_t* place, const std::int32_t* clusters,
                     const std::uint16_t* inside) {
  const std::int64_t tile = row * grid_.tiles_x + tx;
  const auto& kernels = tile_kernels();
  if (masked_) std::memcpy(inside_.get() + tile * 16, inside, sizeof(TileBits));
  TileBits in;
  inside_of(row, tx, in);
  TileParts parts;
  std::uint8_t buffer[16 + 256 + 16], *painted = buffer + 16;
  if (masked_ || in[grid_.tile - 1] != (1u << grid_.tile) - 1)
    std::memset(buffer, 0, sizeof buffer);  // gaps stay unpainted
  kernels.label(place, in, grid_.tile, parts, painted);

  const std::int32_t first_node =
      static_cast<std::int32_t>(row * grid_.tiles_x * grid_.area()) + row_counts_.get()[row];
  std::uint8_t table[256];
  int count = 0;
  const std::int64_t z = row / grid_.tiles_y, y0 = row % grid_.tiles_y * grid_.tile, x0 = tx * grid_.tile;
  for (int i = 0; i < parts.count; ++i) {
    const std::uint8_t root = parts.find(static_cast<std::uint8_t>(i));
    if (root != i) {  // roots come first: the smaller of two always stays one
      table[i] = table[root];
      size_.get()[first_node + table[root]] += parts.size[i];
      continue;
    }
    const std::int32_t node = first_node + count;
    const int r = parts.at[i] / grid_.tile, x = parts.at[i] % grid_.tile;
    parent_.get()[node] = node;
    size_.get()[node] = parts.size[i];
    cluster_.get()[node] = clusters[place[parts.at[i]]];
    first_.get()[node] = static_cast<std::int32_t>((z * grid_.height + y0 + r) * grid_.width + x0 + x);
    table[i] = static_cast<std::uint8_t>(count++);
  }
  std::uint8_t* out = nodes(tile);
  std::memcpy(out, painted, static_cast<std::size_t>(grid_.area()));
  if (count != parts.count) kernels.translate(out, static_cast<int>(grid_.area()), table, parts.count);
  bases_.get()[tile] = first_node;
  tile_counts_.get()[tile] = count;
  row_counts_.get()[row] += count;
  if (tx > 0) join_left(row, tx);
}

std::int32_t Components::find(std::int32_t node) const {
  std::int32_t* parent = parent_.get();
  while (parent[node] != node) {
    parent[node] = parent[parent[node]];
    node = parent[node];
  }
  return node;
}

void Components::unite(std::int32_t a, std::int32_t b) {
  a = find(a);
  b = find(b);
  if (a < b) parent_.get()[b] = a;
  else parent_.get()[a] = b;
}

void Components::join_seam(std::int64_t tile, int a0, std::int64_t other, int b0, int step, unsigned both) {
  each_pair(tile, a0, other, b0, step, both, [&](std::int32_t a, std::int32_t b) {
    if (cluster_.get()[a] == cluster_.get()[b]) unite(a, b);
  });
}

void Components::join_left(std::int64_t row, std::int64_t tx) {
  const std::int64_t tile = row * grid_.tiles_x + tx;
  const int last = grid_.tile - 1;
  TileBits in, there;
  inside_of(row, tx, in);
  inside_of(row, tx - 1, there);
  join_seam(tile, 0, tile - 1, last, grid_.tile, column(in, 0) & column(there, last));
}

void Components::join_rows(std::int64_t row, std::int64_t below) {
  const int last = grid_.tile - 1;
  TileBits in, under;
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    inside_of(row, tx, in);
    inside_of(below, tx, under);
    join_seam(row * grid_.tiles_x + tx, last * grid_.tile, below * grid_.tiles_x + tx, 0, 1, in[last] & under[0]);
  }
}

void Components::join_slices(std::int64_t row, std::int64_t behind) {
  TileBits in, next;
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    inside_of(row, tx, in);
    inside_of(behind, tx, next);
    for (int r = 0; r < grid_.tile; ++r)
      join_seam(row * grid_.tiles_x + tx, r * grid_.tile, behind * grid_.tiles_x + tx, r * grid_.tile, 1,
                in[r] & next[r]);
  }
}

// Bit r: bit x of row r.
unsigned Components::column(const TileBits bits, int x) const {
  unsigned c = 0;
  for (int r = 0; r < grid_.tile; ++r) c |= (bits[r] >> x & 1u) << r;
  return c;
}

// Bands of rows in parallel, then the seams between bands: the roots are the smallest nodes, however the work was cut.
void Components::join(const Executor& exec) {
  const std::int64_t rows = grid_.rows();
  const auto joins = [&](std::int64_t row) {
    if (row % grid_.tiles_y + 1 < grid_.tiles_y) join_rows(row, row + 1);
  };
  const std::int64_t band = std::max<std::int64_t>(1, (rows + exec.threads() - 1) / exec.threads());
  exec.each((rows + band - 1) / band, [&](std::int64_t i) {
    for (std::int64_t row = i * band; row + 1 < std::min(rows, (i + 1) * band); ++row) joins(row);
  });
  for (std::int64_t row = band - 1; row + 1 < rows; row += band) joins(row);
  for (std::int64_t row = 0; row + grid_.tiles_y < rows; ++row) join_slices(row, row + grid_.tiles_y);
}

}  // namespace pyseg::connectivity
