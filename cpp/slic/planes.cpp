// SLIC on float32 planes: the passes. See planes.h for the layout and planes.simd.cpp for the inner loops.
#include "slic/planes.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "connectivity/connectivity.h"
#include "core/workspace.h"
#include "slic/plane_image.h"
#include "slic/slic.h"

namespace pyseg::slic {
namespace {

constexpr int kMaxCandidates = 255;  // more do not fit a byte; such a tile is solved pixel by pixel

struct RowScratch {
  std::vector<PlaneCandidate> candidates;
  std::vector<std::vector<std::int32_t>> lists;  // [tiles_x]
};

// Consecutive centres and where they lie: a row of tiles skips most groups.
struct Group {
  std::int64_t begin, end;
  float low[2], high[2];  // z, y
};

// A cluster's sums: count, z, y, x, then the channels in fixed point.
constexpr std::int64_t kColor = 4;

class PlanePath {
 public:
  std::int64_t run(const ImageView& image, const MaskView& mask, const Options& options, const Seeds& seeds,
                   std::int32_t* labels, const Executor& exec);

 private:
  void take_centers(std::int64_t count, std::int64_t group_size);
  void seed(const Seeds& seeds);
  void seed_mask(std::int64_t count, double interval, const Options& options);
  void warm_start(const Options& options);
  void sample(std::int64_t k, std::int64_t z, std::int64_t y, std::int64_t x);
  void bound_groups();
  void collect(std::int64_t row, int block, RowScratch& scratch) const;
  void iterate(const Options& options, std::int64_t passes, bool quarter, bool spatial, const Executor& exec);
  void pass(std::int64_t row, RowScratch& scratch, int block, std::int64_t* sums, float* farthest) const;
  void add(std::int64_t row, std::int64_t tx, const std::uint8_t* place, const std::int32_t* table, int block,
           std::int64_t* sums, float* farthest) const;
  double update(std::int64_t begin, std::int64_t end, bool spatial);
  void label(std::int64_t row, RowScratch& scratch);
  void places(std::int64_t row, std::int64_t tx, const RowScratch& scratch, int block, std::uint8_t* place,
              std::int32_t* table) const;
  void solve(std::int64_t row, std::int64_t tx, std::uint8_t* place, std::int32_t* table) const;

  PlaneGrid grid_{};
  PlaneImage image_;
  bool slic_zero_ = false;
  std::int64_t count_ = 0, group_size_ = 1;
  int chunks_ = 1;
  std::vector<PlaneCenter> centers_;
  std::vector<float> colors_;       // [centres, channels]
  std::vector<std::int64_t> sums_;  // [chunks, centres, kColor + channels]
  std::vector<float> farthest_;     // [chunks, centres] largest colour distance, for SLICO
  std::vector<Group> groups_;
  std::vector<RowScratch> rows_;
  connectivity::Components components_;
};

void PlanePath::take_centers(std::int64_t count, std::int64_t group_size) {
  count_ = count;
  group_size_ = group_size;
  centers_.assign(static_cast<std::size_t>(count), {});
  colors_.assign(static_cast<std::size_t>(count * grid_.channels), 0.0f);
}

void PlanePath::sample(std::int64_t k, std::int64_t z, std::int64_t y, std::int64_t x) {
  for (std::int64_t c = 0; c < grid_.channels; ++c)
    colors_[static_cast<std::size_t>(k * grid_.channels + c)] = image_.at(z, y, x, c);
}

void PlanePath::seed(const Seeds& seeds) {
  const auto [nz, ny, nx] = seeds.count;
  take_centers(nz * ny * nx, nx);
  const auto middle = [](std::int64_t i, std::int64_t size, std::int64_t n) {
    return static_cast<double>((2 * i + 1) * size) / static_cast<double>(2 * n) - 0.5;
  };
  for (std::int64_t k = 0; k < count_; ++k) {
    const double z = middle(k / (ny * nx), grid_.depth, nz), y = middle(k / nx % ny, grid_.height, ny),
                 x = middle(k % nx, grid_.width, nx);
    const std::int64_t z0 = std::lround(z), y0 = std::lround(y), x0 = std::lround(x);
    const auto [dy, dx] = image_.lowest_gradient(z0, y0, x0);
    centers_[static_cast<std::size_t>(k)] = {{static_cast<float>(z), static_cast<float>(y + static_cast<double>(dy)),
                                              static_cast<float>(x + static_cast<double>(dx))},
                                             1.0f};
    sample(k, z0, y0 + dy, x0 + dx);
  }
}

// maskSLIC (Irving 2016) spreads seeds in the mask by k-means. Here the mask is cut into cells of side S; the `count`
// cells with most pixels (ties: first) give their means as seeds, and spatial passes of the algorithm itself spread
// them.
void PlanePath::seed_mask(std::int64_t count, double interval, const Options& options) {
  std::int64_t cells[3];
  double step[3];
  const std::int64_t size[3] = {grid_.depth, grid_.height, grid_.width};
  for (std::size_t d = 0; d < 3; ++d) {
    step[d] = std::clamp(interval / options.spacing[d], 1.0, static_cast<double>(size[d]));
    cells[d] = static_cast<std::int64_t>(std::ceil(static_cast<double>(size[d]) / step[d]));
  }
  struct Cell {
    std::int64_t count = 0, sum[3] = {0, 0, 0};
  };
  std::vector<Cell> all(static_cast<std::size_t>(cells[0] * cells[1] * cells[2]));
  const auto cell_of = [&](std::int64_t i, std::size_t d) {
    return std::min(cells[d] - 1, static_cast<std::int64_t>(static_cast<double>(i) / step[d]));
  };
  for (std::int64_t z = 0; z < grid_.depth; ++z)
    for (std::int64_t y = 0; y < grid_.height; ++y)
      for (std::int64_t x = 0; x < grid_.width; ++x) {
        if (!image_.inside(z, y, x)) continue;
        Cell& cell =
            all[static_cast<std::size_t>((cell_of(z, 0) * cells[1] + cell_of(y, 1)) * cells[2] + cell_of(x, 2))];
        ++cell.count;
        cell.sum[0] += z;
        cell.sum[1] += y;
        cell.sum[2] += x;
      }
  std::vector<std::int64_t> order;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].count > 0) order.push_back(static_cast<std::int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return all[static_cast<std::size_t>(a)].count > all[static_cast<std::size_t>(b)].count;
  });
  order.resize(std::min(order.size(), static_cast<std::size_t>(count)));
  std::sort(order.begin(), order.end());
  take_centers(static_cast<std::int64_t>(order.size()), 64);
  for (std::size_t k = 0; k < order.size(); ++k) {
    const Cell& cell = all[static_cast<std::size_t>(order[k])];
    for (std::size_t d = 0; d < 3; ++d)
      centers_[k].at[d] = static_cast<float>(static_cast<double>(cell.sum[d]) / static_cast<double>(cell.count));
  }
}

void PlanePath::warm_start(const Options& options) {
  take_centers(options.n_centers, 64);
  const std::int64_t size[3] = {grid_.depth, grid_.height, grid_.width};
  for (std::int64_t k = 0; k < count_; ++k) {
    const double* row = options.centers + k * options.center_width;
    PlaneCenter& c = centers_[static_cast<std::size_t>(k)];
    std::int64_t at[3];
    for (std::size_t d = 0; d < 3; ++d) {
      c.at[d] = static_cast<float>(std::clamp(row[d], 0.0, static_cast<double>(size[d] - 1)));
      at[d] = std::min(size[d] - 1, static_cast<std::int64_t>(std::lround(c.at[d])));
    }
    c.weight = 1.0f;
    sample(k, at[0], at[1], at[2]);
    for (std::int64_t j = 3; j < options.center_width; ++j)
      colors_[static_cast<std::size_t>(k * grid_.channels + j - 3)] = static_cast<float>(row[j]);
  }
}

void PlanePath::bound_groups() {
  groups_.clear();
  for (std::int64_t begin = 0; begin < count_; begin += group_size_) {
    const PlaneCenter& first = centers_[static_cast<std::size_t>(begin)];
    Group g{begin, std::min(count_, begin + group_size_), {first.at[0], first.at[1]}, {first.at[0], first.at[1]}};
    for (std::int64_t k = begin; k < g.end; ++k)
      for (int d = 0; d < 2; ++d) {
        g.low[d] = std::min(g.low[d], centers_[static_cast<std::size_t>(k)].at[d]);
        g.high[d] = std::max(g.high[d], centers_[static_cast<std::size_t>(k)].at[d]);
      }
    groups_.push_back(g);
  }
}

// Does the window of a centre at `at` touch pixels first .. last?
bool touches(float at, float reach, std::int64_t first, std::int64_t last) {
  return at + reach >= static_cast<float>(first) && at - reach <= static_cast<float>(last);
}

void PlanePath::collect(std::int64_t row, int block, RowScratch& scratch) const {
  const std::int64_t z = row / grid_.tiles_y, y0 = row % grid_.tiles_y * kSide;
  scratch.candidates.clear();
  scratch.lists.resize(static_cast<std::size_t>(grid_.tiles_x));
  for (auto& list : scratch.lists) list.clear();
  for (const Group& g : groups_) {
    if (g.high[0] + grid_.reach[0] < static_cast<float>(z) || g.low[0] - grid_.reach[0] > static_cast<float>(z) ||
        g.high[1] + grid_.reach[1] < static_cast<float>(y0) ||
        g.low[1] - grid_.reach[1] > static_cast<float>(y0 + kSide - 1))
      continue;
    for (std::int64_t k = g.begin; k < g.end; ++k) {
      const PlaneCenter& c = centers_[static_cast<std::size_t>(k)];
      if (!touches(c.at[0], grid_.reach[0], z, z) || !touches(c.at[1], grid_.reach[1], y0, y0 + kSide - 1)) continue;
      PlaneCandidate candidate{};
      const float dz = std::abs(static_cast<float>(z) - c.at[0]) * grid_.weight[0];
      for (int b = block < 0 ? 0 : block; b < (block < 0 ? 4 : block + 1); ++b)
        for (int i = 0; i < kSide; ++i) {
          const int r = (i & ~3) + ((b + i) & 3);
          candidate.dzy[kSide * b + i] = dz + std::abs(static_cast<float>(y0 + r) - c.at[1]) * grid_.weight[1];
        }
      candidate.color = colors_.data() + k * grid_.channels;
      candidate.center = static_cast<std::int32_t>(k);
      candidate.x = c.at[2];
      candidate.weight = c.weight;
      const auto last = static_cast<float>(grid_.tiles_x - 1);
      const float left = std::floor((c.at[2] - grid_.reach[2] - (kSide - 1)) / kSide),
                  right = (c.at[2] + grid_.reach[2]) / kSide;
      for (auto tx = static_cast<std::int64_t>(std::clamp(left, 0.0f, last));
           tx <= static_cast<std::int64_t>(std::clamp(right, 0.0f, last)); ++tx)
        if (touches(c.at[2], grid_.reach[2], tx * kSide, tx * kSide + kSide - 1))
          scratch.lists[static_cast<std::size_t>(tx)].push_back(static_cast<std::int32_t>(scratch.candidates.size()));
      scratch.candidates.push_back(candidate);
    }
  }
}

// Where a tile has too many candidates, or none, and its window doubles until it has: the definition, pixel by pixel.
void PlanePath::solve(std::int64_t row, std::int64_t tx, std::uint8_t* place, std::int32_t* table) const {
  const std::int64_t z = row / grid_.tiles_y, y0 = row % grid_.tiles_y * kSide, x0 = tx * kSide;
  std::vector<std::int32_t> near;
  for (float grown = 1.0f; near.empty(); grown *= 2.0f)
    for (std::int64_t k = 0; k < count_; ++k) {
      const PlaneCenter& c = centers_[static_cast<std::size_t>(k)];
      if (touches(c.at[0], grown * grid_.reach[0], z, z) &&
          touches(c.at[1], grown * grid_.reach[1], y0, y0 + kSide - 1) &&
          touches(c.at[2], grown * grid_.reach[2], x0, x0 + kSide - 1))
        near.push_back(static_cast<std::int32_t>(k));
    }
  std::int32_t winners[kArea];
  const float* tile = image_.tile(row, tx);
  for (int i = 0; i < kArea; ++i) {
    float best = __builtin_inff();
    winners[i] = near.front();
    for (const std::int32_t k : near) {
      const PlaneCenter& c = centers_[static_cast<std::size_t>(k)];
      const float* color = colors_.data() + k * grid_.channels;
      float d = std::abs(tile[i] - color[0]);
      for (std::int64_t j = 1; j < grid_.channels; ++j) d += std::abs(tile[j * kArea + i] - color[j]);
      const float dz = std::abs(static_cast<float>(z) - c.at[0]) * grid_.weight[0];
      const float dzy = dz + std::abs(static_cast<float>(y0 + row_of(i)) - c.at[1]) * grid_.weight[1];
      d = d * c.weight +
          (dzy + std::abs(static_cast<float>(x0) + static_cast<float>(i % kSide) - c.at[2]) * grid_.weight[2]);
      if (!(d < best)) continue;
      best = d;
      winners[i] = k;
    }
  }
  std::copy_n(winners, kArea, table);
  std::sort(table, table + kArea);
  std::int32_t* end = std::unique(table, table + kArea);
  for (int i = 0; i < kArea; ++i)
    place[i] = static_cast<std::uint8_t>(std::lower_bound(table, end, winners[i]) - table);
}

// The centre of pixel i of the tile is table[place[i]].
void PlanePath::places(std::int64_t row, std::int64_t tx, const RowScratch& scratch, int block, std::uint8_t* place,
                       std::int32_t* table) const {
  const auto& list = scratch.lists[static_cast<std::size_t>(tx)];
  if (list.empty() || list.size() > kMaxCandidates) return solve(row, tx, place, table);
  plane_kernels().assign(image_.tile(row, tx), grid_.channels, scratch.candidates.data(), list.data(),
                         static_cast<int>(list.size()), static_cast<float>(tx * kSide), grid_.weight[2], block, place);
  for (std::size_t i = 0; i < list.size(); ++i) table[i] = scratch.candidates[static_cast<std::size_t>(list[i])].center;
}

void PlanePath::add(std::int64_t row, std::int64_t tx, const std::uint8_t* place, const std::int32_t* table, int block,
                    std::int64_t* sums, float* farthest) const {
  const std::int64_t z = row / grid_.tiles_y, y0 = row % grid_.tiles_y * kSide, x0 = tx * kSide;
  const std::uint16_t* inside = image_.inside_tile(row, tx);
  const float* tile = image_.tile(row, tx);
  const std::int64_t channels = grid_.channels, width = kColor + channels;
  const float fixed = image_.fixed();
  for (int i = block < 0 ? 0 : 64 * block; i < (block < 0 ? kArea : 64 * block + 64); ++i) {
    const int x = i % kSide, r = row_of(i);
    if (!(inside[r] >> x & 1)) continue;
    const float* pixel = tile + i;
    const std::int32_t k = table[place[i]];
    std::int64_t* s = sums + k * width;
    s[0] += 1;
    s[1] += z;
    s[2] += y0 + r;
    s[3] += x0 + x;
    for (std::int64_t c = 0; c < channels; ++c) s[kColor + c] += std::lrintf(pixel[c * kArea] * fixed);
    if (!slic_zero_) continue;
    const float* color = colors_.data() + k * grid_.channels;
    float d = 0;
    for (std::int64_t c = 0; c < grid_.channels; ++c) d += std::abs(pixel[c * kArea] - color[c]);
    farthest[k] = std::max(farthest[k], d);
  }
}

void PlanePath::pass(std::int64_t row, RowScratch& scratch, int block, std::int64_t* sums, float* farthest) const {
  collect(row, block, scratch);
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    if (image_.empty_tile(row, tx)) continue;
    std::uint8_t place[kArea];
    std::int32_t table[kArea];
    places(row, tx, scratch, block, place, table);
    add(row, tx, place, table, block, sums, farthest);
  }
}

// Centres become the means of their pixels; those without any stay. Returns the movement in pixels.
double PlanePath::update(std::int64_t begin, std::int64_t end, bool spatial) {
  const std::int64_t width = kColor + grid_.channels;
  double moved = 0;
  for (std::int64_t k = begin; k < end; ++k) {
    std::int64_t* s = sums_.data() + k * width;
    float far = farthest_[static_cast<std::size_t>(k)];
    for (int chunk = 1; chunk < chunks_; ++chunk) {
      const std::int64_t* more = s + chunk * count_ * width;
      for (std::int64_t i = 0; i < width; ++i) s[i] += more[i];
      far = std::max(far, farthest_[static_cast<std::size_t>(chunk * count_ + k)]);
    }
    if (s[0] == 0) continue;
    const auto n = static_cast<double>(s[0]);
    PlaneCenter& c = centers_[static_cast<std::size_t>(k)];
    for (int d = 0; d < 3; ++d) {
      const auto at = static_cast<float>(static_cast<double>(s[1 + d]) / n);
      moved += std::abs(static_cast<double>(at) - static_cast<double>(c.at[d]));
      c.at[d] = at;
    }
    for (std::int64_t j = 0; j < grid_.channels; ++j)
      colors_[static_cast<std::size_t>(k * grid_.channels + j)] =
          static_cast<float>(static_cast<double>(s[kColor + j]) / n / static_cast<double>(image_.fixed()));
    if (slic_zero_ && !spatial) c.weight = 1.0f / std::max(1.0f, far);
  }
  return moved;
}

void PlanePath::iterate(const Options& options, std::int64_t passes, bool quarter, bool spatial, const Executor& exec) {
  const std::size_t width = static_cast<std::size_t>(kColor + grid_.channels);
  for (std::int64_t i = 0; i < passes; ++i) {
    bound_groups();
    sums_.assign(static_cast<std::size_t>(chunks_ * count_) * width, 0);
    farthest_.assign(static_cast<std::size_t>(chunks_ * count_), 0.0f);
    exec.each(chunks_, [&](std::int64_t chunk) {
      for (std::int64_t row = grid_.rows() * chunk / chunks_; row < grid_.rows() * (chunk + 1) / chunks_; ++row)
        pass(row, rows_[static_cast<std::size_t>(chunk)], quarter ? phase(i) : -1,
             sums_.data() + static_cast<std::size_t>(chunk * count_) * width, farthest_.data() + chunk * count_);
    });
    const double moved = update(0, count_, spatial);
    if (moved <= options.tol * static_cast<double>(count_)) break;
  }
}

void PlanePath::label(std::int64_t row, RowScratch& scratch) {
  collect(row, -1, scratch);
  std::uint8_t place[kArea] = {}, buffer[64 + kArea] = {}, *raster = buffer + 64;
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    std::int32_t table[kArea];
    if (!image_.empty_tile(row, tx)) places(row, tx, scratch, -1, place, table);
    for (int i = 0; i < kArea; ++i) raster[row_of(i) * kSide + i % kSide] = place[i];
    components_.add(row, tx, raster, table, image_.inside_tile(row, tx));
  }
}

std::int64_t PlanePath::run(const ImageView& image, const MaskView& mask, const Options& options, const Seeds& seeds,
                            std::int32_t* labels, const Executor& exec) {
  const std::int64_t inside = image_.load(image, mask, options, exec);
  double s = seeds.interval;
  const int dims = image.depth() == 1 ? 2 : 3;
  if (mask) {
    double volume = static_cast<double>(inside);
    for (int d = 3 - dims; d < 3; ++d) volume *= options.spacing[static_cast<std::size_t>(d)];
    s = std::pow(volume / static_cast<double>(options.n_segments), 1.0 / dims);
  }
  grid_ = {image.depth(), image.height(), image.width(), image_.tiles_x(), image_.tiles_y(), image.channels(), {}, {}};
  slic_zero_ = options.slic_zero;
  for (std::size_t d = 0; d < 3; ++d) {
    // Not nothing, however unequal the spacing: a window that finds no centre doubles.
    grid_.reach[d] = static_cast<float>(std::max(s / options.spacing[d], 1.0 / 16.0));
    grid_.weight[d] = static_cast<float>((slic_zero_ ? 1.0 : options.compactness) * options.spacing[d] / s);
  }
  chunks_ = static_cast<int>(std::min<std::int64_t>(exec.threads(), grid_.rows()));
  rows_.resize(static_cast<std::size_t>(chunks_));

  const bool quarter = sampled(s / std::max(options.spacing[1], options.spacing[2]), options);
  if (options.centers != nullptr) {
    warm_start(options);
  } else if (mask) {
    seed_mask(options.n_segments, s, options);
    for (auto& c : centers_) c.weight = 0.0f;
    iterate(options, 5, false, true, exec);
  } else {
    seed(seeds);
  }
  for (auto& c : centers_) c.weight = slic_zero_ ? static_cast<float>(1.0 / options.compactness) : 1.0f;
  iterate(options, options.max_iter, quarter, false, exec);

  bound_groups();
  components_.begin({grid_.depth, grid_.height, grid_.width, grid_.tiles_x, grid_.tiles_y, kSide}, true);
  exec.each(chunks_, [&](std::int64_t chunk) {
    for (std::int64_t row = grid_.rows() * chunk / chunks_; row < grid_.rows() * (chunk + 1) / chunks_; ++row)
      label(row, rows_[static_cast<std::size_t>(chunk)]);
  });
  const std::int32_t start = options.start_label;
  if (!options.enforce_connectivity) return components_.finish_clusters(exec, count_, start, start - 1, labels);
  connectivity::Colors colors;
  colors.floats = colors_.data();
  colors.channels = grid_.channels;
  const double area = static_cast<double>(inside) / static_cast<double>(count_);
  return components_.finish(exec, count_, min_size(area, options), colors, start, start - 1, labels);
}

}  // namespace

std::int64_t slic_planes(const ImageView& image, const MaskView& mask, const Options& options, const Seeds& seeds,
                         std::int32_t* labels, const Executor& exec) {
  static thread_local PlanePath path;
  return path.run(image, mask, options, seeds, labels, exec);
}

}  // namespace pyseg::slic
