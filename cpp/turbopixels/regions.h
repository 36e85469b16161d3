// From the regions of a flow to labels: mean colours, what is left, components.
#pragma once

#include <cstdint>
#include <vector>

#include "connectivity/connectivity.h"
#include "core/parallel.h"
#include "turbopixels/affinity.h"
#include "turbopixels/flow.h"

namespace pyseg::turbopixels {

class Regions {
 public:
  // Labels [height, width] of `count` regions, from start_label on. Returns the number of labels.
  std::int64_t label(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width,
                     std::int64_t count, bool enforce_connectivity, std::int32_t start_label, std::int32_t* labels,
                     const Executor& exec);

 private:
  void colors(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width, const Executor& exec);
  void assign_rest(const Affinity& image, const Flow& flow, std::int64_t height, std::int64_t width);
  std::int32_t nearest(const Affinity& image, const Flow& flow, std::int64_t y, std::int64_t x) const;
  void add_tiles(const Flow& flow, const connectivity::Grid& grid, std::int64_t row);

  struct Pixel {
    std::int32_t y, x, owner;
  };

  std::int64_t count_ = 0;
  std::vector<float> colors_;  // [count, channels]
  std::vector<std::int64_t> areas_;
  std::vector<Pixel> edge_, next_;
  connectivity::Components components_;
};

}  // namespace pyseg::turbopixels
