// SLIC on bytes: the passes. See bytes.h for the layout and bytes.simd.cpp for the inner loops.
#include "slic/bytes.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "connectivity/connectivity.h"
#include "core/workspace.h"
#include "slic/byte_image.h"
#include "slic/slic.h"

namespace pyseg::slic {
namespace {

constexpr int kMaxCandidates = 255;  // more do not fit a byte; such a tile is solved pixel by pixel

// What one thread needs for one row of tiles.
struct RowScratch {
  Scratch<ByteCandidate> candidates;
  Scratch<std::int32_t> list, counts;
  std::int64_t list_stride = 32;
  ByteRow row{};
};

// Consecutive centres and the rows they lie in: a row of tiles skips most groups.
struct Group {
  std::int64_t begin, end;
  std::int32_t top, bottom;  // 1/16 pixel
};

class BytePath {
 public:
  std::int64_t run(const ImageView& image, const Options& options, const Seeds& seeds, std::int32_t* labels,
                   const Executor& exec);

 private:
  void seed(const Seeds& seeds, const Executor& exec);
  void warm_start(const Options& options);
  void bound_groups();
  const ByteRow& collect(std::int64_t ty, RowScratch& scratch);
  void pass(std::int64_t ty, RowScratch& scratch, int block, ByteSums* sums);
  std::int64_t update(std::int64_t begin, std::int64_t end, int chunks);
  void label(std::int64_t ty, RowScratch& scratch);
  void solve(std::int64_t ty, std::int64_t tx, std::int32_t* winners) const;
  void add_solved(std::int64_t ty, std::int64_t tx, int block, ByteSums* sums) const;
  void label_solved(std::int64_t ty, std::int64_t tx, std::uint8_t* place, std::int32_t* table) const;

  ByteGrid grid_{};
  const ByteKernels* kernels_ = nullptr;
  std::int64_t count_ = 0;  // centres
  std::int64_t group_size_ = 1;
  ByteImage image_;
  Scratch<ByteCenter> centers_;
  Scratch<ByteView> views_;   // [centres]
  Scratch<std::uint8_t> dx_;  // [centres, span, 16]
  Scratch<ByteSums> sums_;    // [chunks, centres]
  std::vector<Group> groups_;
  std::vector<RowScratch> rows_;
  connectivity::Components components_;
};

void BytePath::seed(const Seeds& seeds, const Executor& exec) {
  const std::int64_t nx = seeds.count[2], ny = seeds.count[1];
  group_size_ = nx;
  ByteCenter* centers = centers_.take(count_ = nx * ny);
  exec.run(ny, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin * nx; k < end * nx; ++k) {
      ByteCenter& c = centers[k];
      c.x = static_cast<std::int32_t>((2 * (k % nx) + 1) * grid_.width * kSub / (2 * nx) - kSub / 2);
      c.y = static_cast<std::int32_t>((2 * (k / nx) + 1) * grid_.height * kSub / (2 * ny) - kSub / 2);
      const std::int64_t x = (c.x + kSub / 2) / kSub, y = (c.y + kSub / 2) / kSub;
      const auto [dy, dx] = image_.lowest_gradient(y, x);
      c.x += static_cast<std::int32_t>(dx * kSub);
      c.y += static_cast<std::int32_t>(dy * kSub);
      const std::uint8_t* p = image_.pixel(x + dx, y + dy);
      for (int j = 0; j < 3; ++j) c.color[j] = p[j * grid_.area_of_tile()];
      c.color[3] = 0;
    }
  });
}

void BytePath::warm_start(const Options& options) {
  group_size_ = 64;
  ByteCenter* centers = centers_.take(count_ = options.n_centers);
  const auto clamp = [](double v, double high) { return v < 0 ? 0 : v > high ? high : v; };
  for (std::int64_t k = 0; k < count_; ++k) {
    const double* row = options.centers + k * options.center_width;
    const double y = clamp(row[1], static_cast<double>(grid_.height - 1)),
                 x = clamp(row[2], static_cast<double>(grid_.width - 1));
    ByteCenter& c = centers[k];
    c.x = static_cast<std::int32_t>(std::lround(x * kSub));
    c.y = static_cast<std::int32_t>(std::lround(y * kSub));
    const std::uint8_t* p = image_.pixel(std::lround(x), std::lround(y));
    for (std::int64_t j = 0; j < 3; ++j) {
      const double zero = options.to_lab && j > 0 ? 128.0 : 0.0;
      c.color[j] = j + 3 < options.center_width
                       ? static_cast<std::uint8_t>(std::lround(clamp(2.0 * row[3 + j] + zero, 255.0)))
                       : p[j * grid_.area_of_tile()];
    }
    c.color[3] = 0;
  }
}

void BytePath::bound_groups() {
  groups_.clear();
  for (std::int64_t begin = 0; begin < count_; begin += group_size_) {
    Group g{begin, std::min(count_, begin + group_size_), centers_.get()[begin].y, centers_.get()[begin].y};
    for (std::int64_t k = begin; k < g.end; ++k) {
      g.top = std::min(g.top, centers_.get()[k].y);
      g.bottom = std::max(g.bottom, centers_.get()[k].y);
    }
    groups_.push_back(g);
  }
}

const ByteRow& BytePath::collect(std::int64_t ty, RowScratch& scratch) {
  const std::int32_t unit = kSub * grid_.tile, top = static_cast<std::int32_t>(ty) * unit;
  const auto near = [&](const Group& g) { return g.bottom + grid_.reach >= top && g.top - grid_.reach < top + unit; };
  std::int64_t most = 0;
  for (const Group& g : groups_)
    if (near(g)) most += g.end - g.begin;
  for (;;) {
    scratch.row = {scratch.candidates.take(most), scratch.list.take(grid_.tiles_x * scratch.list_stride),
                   scratch.counts.take(grid_.tiles_x), scratch.list_stride};
    std::memset(scratch.row.counts, 0, static_cast<std::size_t>(grid_.tiles_x) * sizeof(std::int32_t));
    std::int64_t used = 0;
    for (const Group& g : groups_)
      if (near(g))
        used = kernels_->collect(grid_, ty, centers_.get(), views_.get(), dx_.get(), g.begin, g.end, used, scratch.row);
    const std::int32_t longest = *std::max_element(scratch.row.counts, scratch.row.counts + grid_.tiles_x);
    if (std::min<std::int64_t>(longest, kMaxCandidates) <= scratch.list_stride) return scratch.row;
    scratch.list_stride = std::min<std::int64_t>(kMaxCandidates, 2 * scratch.list_stride);
  }
}

// The definition, pixel by pixel: for tiles with too many candidates, or with none, whose window doubles until it has
// one.
void BytePath::solve(std::int64_t ty, std::int64_t tx, std::int32_t* winners) const {
  const std::int64_t t = grid_.tile, left = tx * t * kSub, top = ty * t * kSub, last = (t - 1) * kSub;
  std::vector<std::int32_t> near;
  for (std::int64_t reach = grid_.reach; near.empty(); reach *= 2)
    for (std::int64_t k = 0; k < count_; ++k) {
      const ByteCenter& c = centers_.get()[k];
      if (c.x + reach >= left && c.x - reach <= left + last && c.y + reach >= top && c.y - reach <= top + last)
        near.push_back(static_cast<std::int32_t>(k));
    }
  for (std::int64_t i = 0; i < t * t; ++i) {
    const std::int64_t x = left + i % t * kSub, y = top + i / t * kSub;
    const std::uint8_t* p = image_.pixel(x / kSub, y / kSub);
    std::int64_t best = 255;
    winners[i] = near.front();
    for (const std::int32_t k : near) {
      const ByteCenter& c = centers_.get()[k];
      std::int64_t d = std::min<std::int64_t>(255, std::llabs(x - c.x) * grid_.weight >> 16) +
                       std::min<std::int64_t>(255, std::llabs(y - c.y) * grid_.weight >> 16);
      for (int j = 0; j < 3; ++j) d += std::abs(p[j * t * t] - c.color[j]);
      if (d >= best) continue;
      best = d;
      winners[i] = k;
    }
  }
}

void BytePath::add_solved(std::int64_t ty, std::int64_t tx, int block, ByteSums* sums) const {
  const std::int64_t t = grid_.tile;
  std::int32_t winners[256];
  solve(ty, tx, winners);
  for (std::int64_t i = 0; i < t * t; ++i) {
    const std::int64_t x = tx * t + i % t, y = ty * t + i / t;
    if (x >= grid_.width || y >= grid_.height || (block >= 0 && ((y - x) & 3) != block)) continue;
    const std::uint8_t* p = image_.pixel(x, y);
    ByteSums& s = sums[winners[i]];
    s.count += 1;
    s.l += p[0];
    s.a += p[t * t];
    s.b += p[2 * t * t];
    s.x += x;
    s.y += y;
  }
}

void BytePath::label_solved(std::int64_t ty, std::int64_t tx, std::uint8_t* place, std::int32_t* table) const {
  const std::int64_t area = grid_.area_of_tile();
  std::int32_t winners[256];
  solve(ty, tx, winners);
  std::copy_n(winners, area, table);
  std::sort(table, table + area);
  const std::int32_t* end = std::unique(table, table + area);
  for (std::int64_t i = 0; i < area; ++i)
    place[i] = static_cast<std::uint8_t>(std::lower_bound(table, const_cast<std::int32_t*>(end), winners[i]) - table);
}

void BytePath::pass(std::int64_t ty, RowScratch& scratch, int block, ByteSums* sums) {
  const ByteRow& row = collect(ty, scratch);
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    if (row.counts[tx] > 0 && row.counts[tx] <= kMaxCandidates) kernels_->assign(grid_, ty, tx, row, block, sums);
    else add_solved(ty, tx, block, sums);
  }
}

// Centres become the means of their pixels, rounded half up; those without any stay. Returns the movement in 1/16
// pixel.
std::int64_t BytePath::update(std::int64_t begin, std::int64_t end, int chunks) {
  std::int64_t moved = 0;
  for (std::int64_t k = begin; k < end; ++k) {
    ByteSums s = sums_.get()[k];
    sums_.get()[k] = {};
    for (int chunk = 1; chunk < chunks; ++chunk) {
      ByteSums& more = sums_.get()[chunk * count_ + k];
      s.count += more.count;
      s.l += more.l;
      s.a += more.a;
      s.b += more.b;
      s.x += more.x;
      s.y += more.y;
      more = {};
    }
    if (s.count == 0) continue;
    // Exact: the quotient's distance to an integer, at least 1 / (2 count), is far above a double's rounding.
    const double twice = static_cast<double>(2 * s.count);
    const auto mean = [&](std::int64_t sum) {
      return static_cast<std::int32_t>(static_cast<double>(2 * sum + s.count) / twice);
    };
    ByteCenter& c = centers_.get()[k];
    const ByteCenter next{mean(s.x * kSub),
                          mean(s.y * kSub),
                          {static_cast<std::uint8_t>(mean(s.l)), static_cast<std::uint8_t>(mean(s.a)),
                           static_cast<std::uint8_t>(mean(s.b)), 0}};
    moved += std::abs(next.x - c.x) + std::abs(next.y - c.y);
    c = next;
  }
  kernels_->view(grid_, centers_.get(), begin, end, views_.get(), dx_.get());
  return moved;
}

void BytePath::label(std::int64_t ty, RowScratch& scratch) {
  const ByteRow& row = collect(ty, scratch);
  alignas(64) std::uint8_t buffer[64 + 256];
  std::uint8_t* place = buffer + 64;
  std::memset(buffer, 0, 64);
  for (std::int64_t tx = 0; tx < grid_.tiles_x; ++tx) {
    std::int32_t table[256];
    const std::int32_t n = row.counts[tx];
    if (n > 0 && n <= kMaxCandidates) {
      kernels_->label(grid_, tx, ty, row, place);
      for (std::int32_t i = 0; i < n; ++i) table[i] = row.candidates[row.list[tx * row.list_stride + i]].center;
    } else {
      label_solved(ty, tx, place, table);
    }
    components_.add(ty, tx, place, table, nullptr);
  }
}

std::int64_t BytePath::run(const ImageView& image, const Options& options, const Seeds& seeds, std::int32_t* labels,
                           const Executor& exec) {
  const double s = seeds.interval;
  const int tile = s < 10.0 ? 8 : 16;
  grid_ = {image.width(),
           image.height(),
           (image.width() + tile - 1) / tile,
           (image.height() + tile - 1) / tile,
           tile,
           0,
           static_cast<std::int32_t>(std::lround(kSub * s)),
           static_cast<std::int32_t>(std::lround(2.0 * options.compactness / s * 65536.0 / kSub)),
           nullptr};
  grid_.span = static_cast<int>(std::min<std::int64_t>(grid_.tiles_x, 2 * grid_.reach / (kSub * tile) + 2));
  kernels_ = &byte_kernels();
  const int chunks = static_cast<int>(std::min<std::int64_t>(exec.threads(), grid_.tiles_y));
  if (static_cast<int>(rows_.size()) != chunks) rows_ = std::vector<RowScratch>(static_cast<std::size_t>(chunks));
  image_.load(image, options, tile, chunks, exec);
  grid_.planes = image_.planes();
  if (options.centers != nullptr) warm_start(options);
  else seed(seeds, exec);
  views_.take(count_);
  dx_.take(16 * grid_.span * count_);
  kernels_->view(grid_, centers_.get(), 0, count_, views_.get(), dx_.get());
  std::memset(static_cast<void*>(sums_.take(chunks * count_)), 0,
              static_cast<std::size_t>(chunks * count_) * sizeof(ByteSums));

  const auto rows_of = [&](std::int64_t chunk, auto visit) {
    for (std::int64_t ty = grid_.tiles_y * chunk / chunks; ty < grid_.tiles_y * (chunk + 1) / chunks; ++ty)
      visit(ty, rows_[static_cast<std::size_t>(chunk)]);
  };
  const bool quarter = sampled(s, options);
  for (std::int64_t i = 0; i < options.max_iter; ++i) {
    bound_groups();
    exec.each(chunks, [&](std::int64_t chunk) {
      rows_of(chunk, [&](std::int64_t ty, RowScratch& scratch) {
        pass(ty, scratch, quarter ? phase(i) : -1, sums_.get() + chunk * count_);
      });
    });
    std::atomic<std::int64_t> moved{0};
    exec.run(count_, 512, [&](std::int64_t begin, std::int64_t end) { moved += update(begin, end, chunks); });
    if (static_cast<double>(moved.load()) <= options.tol * static_cast<double>(kSub * count_)) break;
  }
  bound_groups();
  components_.begin({1, grid_.height, grid_.width, grid_.tiles_x, grid_.tiles_y, tile}, false);
  exec.each(chunks, [&](std::int64_t chunk) {
    rows_of(chunk, [&](std::int64_t ty, RowScratch& scratch) { label(ty, scratch); });
  });
  if (!options.enforce_connectivity)
    return components_.finish_clusters(exec, count_, options.start_label, options.start_label - 1, labels);
  const double area = static_cast<double>(image.pixels()) / static_cast<double>(count_);
  const connectivity::Colors colors{centers_.get()->color, sizeof(ByteCenter)};
  return components_.finish(exec, count_, min_size(area, options), colors, options.start_label, options.start_label - 1,
                            labels);
}

}  // namespace

bool fits_bytes(const ImageView& image, const MaskView& mask, const Options& options, const Seeds& seeds) {
  const double s = seeds.interval;
  return image.dtype == DType::u8 && image.depth() == 1 && image.channels() <= 3 && !mask && !options.slic_zero &&
         (options.binomial() || !options.smooth()) && options.spacing[1] == 1 && options.spacing[2] == 1 &&
         std::max(image.width(), image.height()) <= (1 << 26) && options.compactness <= 32.0 && s >= 2.0 &&
         s <= 1024.0 && options.compactness / s < 7.9;
}

std::int64_t slic_bytes(const ImageView& image, const Options& options, const Seeds& seeds, std::int32_t* labels,
                        const Executor& exec) {
  static thread_local BytePath path;
  return path.run(image, options, seeds, labels, exec);
}

}  // namespace pyseg::slic
