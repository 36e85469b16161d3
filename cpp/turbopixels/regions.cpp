// From the regions of a flow to labels. See regions.h.
#include "turbopixels/regions.h"

#include <cmath>
#include <cstring>

namespace pyseg::turbopixels {
namespace {

constexpr int kTile = 16;
constexpr double kSmall = 16;  // components of fewer pixels than the mean area over this are absorbed
constexpr std::int64_t kSides[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};

}  // namespace

// Sums are whole numbers of 1/256: their order does not matter.
void Regions::colors(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width,
                     const Executor& exec) {
  const std::int64_t channels = image.channels();
  areas_.assign(static_cast<std::size_t>(count_), 0);
  colors_.assign(static_cast<std::size_t>(count_ * channels), 0.0f);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      if (const std::int32_t k = flow.owners(y)[x]; k >= 0) ++areas_[static_cast<std::size_t>(k)];
  exec.each(channels, [&](std::int64_t c) {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(count_), 0);
    for (std::int64_t y = 0; y < height; ++y) {
      const float* row = image.channel(c, y);
      for (std::int64_t x = 0; x < width; ++x)
        if (const std::int32_t k = flow.owners(y)[x]; k >= 0)
          sums[static_cast<std::size_t>(k)] += std::lrintf(row[x] * 256.0f);
    }
    for (std::int64_t k = 0; k < count_; ++k) {
      const auto i = static_cast<std::size_t>(k);
      colors_[static_cast<std::size_t>(k * channels + c)] =
          static_cast<float>(static_cast<double>(sums[i]) / static_cast<double>(areas_[i]) / 256.0);
    }
  });
}

// Returns the level.
int Regions::offer(const Affinity& image, std::int64_t y, std::int64_t x, std::int32_t region) {
  const std::int64_t channels = image.channels();
  const float* color = colors_.data() + region * channels;
  float distance = 0;
  for (std::int64_t c = 0; c < channels; ++c) distance += std::abs(color[c] - image.channel(c, y)[x]);
  const int level = static_cast<int>(std::min(distance * (0.25f / static_cast<float>(channels)), kLevels - 1.0f));
  queue_[static_cast<std::size_t>(level)].push_back(
      {static_cast<std::int32_t>(y), static_cast<std::int32_t>(x), region});
  return level;
}

void Regions::assign_rest(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width) {
  std::array<std::size_t, kLevels> taken{};
  for (auto& level : queue_) level.clear();
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      if (flow.owners(y)[x] != -1) continue;
      for (const auto& [dy, dx] : kSides)
        if (const std::int32_t region = flow.owners(y + dy)[x + dx]; region >= 0) offer(image, y, x, region);
    }
  for (int level = 0; level < kLevels;) {
    const auto i = static_cast<std::size_t>(level);
    if (taken[i] == queue_[i].size()) {
      ++level;
      continue;
    }
    const Offer best = queue_[i][taken[i]++];
    std::int32_t& owner = flow.owners(best.y)[best.x];
    if (owner != -1) continue;
    owner = best.region;
    for (const auto& [dy, dx] : kSides)
      if (flow.owners(best.y + dy)[best.x + dx] == -1)
        level = std::min(level, offer(image, best.y + dy, best.x + dx, best.region));
  }
}

void Regions::add_tiles(const Flow& flow, const connectivity::Grid& grid, std::int64_t row) {
  std::uint8_t buffer[64 + kTile * kTile] = {}, *place = buffer + 64;
  for (std::int64_t tx = 0; tx < grid.tiles_x; ++tx) {
    std::int32_t table[kTile * kTile];
    int entries = 0, at = 0;
    for (int i = 0; i < kTile * kTile; ++i) {
      const std::int64_t y = row * kTile + i / kTile, x = tx * kTile + i % kTile;
      if (y >= grid.height || x >= grid.width) continue;  // left as it is: outside
      const std::int32_t owner = flow.owners(y)[x];
      if (entries == 0 || table[at] != owner) {
        at = entries - 1;
        while (at >= 0 && table[at] != owner) --at;
        if (at < 0) table[at = entries++] = owner;
      }
      place[i] = static_cast<std::uint8_t>(at);
    }
    components_.add(row, tx, place, table, nullptr);
  }
}

std::int64_t Regions::label(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width,
                            std::int64_t count, bool enforce_connectivity, std::int32_t start_label,
                            std::int32_t* labels, const Executor& exec) {
  count_ = count;
  colors(image, flow, height, width, exec);
  assign_rest(image, flow, height, width);
  const connectivity::Grid grid{1, height, width, (width + kTile - 1) / kTile, (height + kTile - 1) / kTile, kTile};
  components_.begin(grid, false);
  exec.each(grid.rows(), [&](std::int64_t row) { add_tiles(flow, grid, row); });
  if (!enforce_connectivity) return components_.finish_clusters(exec, count, start_label, start_label - 1, labels);
  connectivity::Colors means;
  means.floats = colors_.data();
  means.channels = image.channels();
  const double area = static_cast<double>(height * width) / static_cast<double>(count);
  return components_.finish(exec, count, static_cast<std::int64_t>(area / kSmall), means, start_label, start_label - 1,
                            labels);
}

}  // namespace pyseg::turbopixels
