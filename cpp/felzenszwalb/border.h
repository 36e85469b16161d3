// What the tiles could not decide, walked through by the book; and the labels.
//
// Components only, no pixels: those of a tile lie side by side, so that what is in use of the whole image's components
// takes a few MB. What bounds it: misses, hidden in part by fetching ahead. It is the only part that runs on one
// thread, and takes a seventh (scale 1) to a quarter (scale 100) of one thread's time.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "core/workspace.h"
#include "felzenszwalb/tile.h"

namespace pyseg::felzenszwalb {

// Adds the crossings that may matter to `edges`.
void resolve(const std::vector<Crossing>& crossings, std::int64_t image_width, const Components& components,
             std::int64_t min_size, std::vector<Edge>& edges);

class Border {
 public:
  // Both walks, through the edges of all lists. `k`: scale / 255.
  void walk(const std::vector<const std::vector<Edge>*>& lists, double k, std::int64_t min_size,
            const Components& components);

  struct Part {
    std::int32_t first_component, count;
  };
  // Pixels' components become labels, start_label onwards by first pixel. Returns their number.
  std::int64_t label(const std::vector<Part>& tiles, std::int64_t pixels, std::int32_t start_label,
                     const Components& components, const Executor& exec);

 private:
  std::vector<Tie> ties_;
  Scratch<Edge> edges_;
  Scratch<std::uint64_t> items_, other_, marks_;
  Scratch<std::int32_t> before_;
};

}  // namespace pyseg::felzenszwalb
