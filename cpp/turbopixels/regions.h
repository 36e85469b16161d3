// From the regions of a flow to labels: mean colours, what is left, components.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "connectivity/connectivity.h"
#include "core/parallel.h"
#include "turbopixels/affinity.h"
#include "turbopixels/flow.h"

namespace pyseg::turbopixels {

// What is left joins by seeded region growing (Adams and Bischof 1994): a queue of offers of regions to pixels beside
// them, in 64 levels of distance between the pixel's colour and the region's mean.
class Regions {
 public:
  // Labels [height, width] of `count` regions, from start_label on. Returns the number of labels.
  std::int64_t label(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width,
                     std::int64_t count, bool enforce_connectivity, std::int32_t start_label, std::int32_t* labels,
                     const Executor& exec);

 private:
  static constexpr int kLevels = 64;
  struct Offer {
    std::int32_t y, x, region;
  };

  void colors(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width, const Executor& exec);
  void assign_rest(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width);
  int offer(const Affinity& image, std::int64_t y, std::int64_t x, std::int32_t region);
  void add_tiles(const Flow& flow, const connectivity::Grid& grid, std::int64_t row);

  std::int64_t count_ = 0;
  std::vector<float> colors_;  // [count, channels]
  std::vector<std::int64_t> areas_;
  std::array<std::vector<Offer>, kLevels> queue_;
  connectivity::Components components_;
};

}  // namespace pyseg::turbopixels
