// What is known of each superpixel of a label map: area, centre, box, mean colours, and which ones touch.
//
// Sums run over fixed bands of rows, whatever the number of threads, and are added in their order: results do not
// depend on threads. The adjacency is collected as runs of equal pairs along each row, which shortens it about fivefold
// before the sort.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "core/view.h"

namespace pyseg::superpixel_stats {

struct Stats {
  std::vector<std::int64_t> area;      // [n]
  std::vector<double> center;          // [n, 3] z, y, x: mean position in pixels
  std::vector<std::int32_t> box;       // [n, 6] z0, y0, x0, z1, y1, x1; the ends excluded
  std::vector<double> mean, mean_lab;  // [n, channels] in the image's units; [n, 3] where asked for
  std::vector<std::int32_t> edges;     // [e, 2] pairs a < b that share a boundary, sorted
  std::vector<std::int64_t> boundary;  // [e] number of neighbouring pixel pairs
};

// labels [depth, height, width]: start_label .. start_label + n - 1; others are left out. `lab`: also the means in
// CIELAB.
Stats superpixel_stats(const std::int32_t* labels, const ImageView& image, std::int64_t n, std::int32_t start_label,
                       bool lab, const Executor& exec);

}  // namespace pyseg::superpixel_stats
