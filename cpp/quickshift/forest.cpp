// Each pixel climbs to the first one that has a label, or to its root, and all that it passed get that label, so that
// no way is climbed twice. The work is one or two random accesses a pixel; threads would have to share what they find,
// and it is a twentieth of the whole.
#include "quickshift/forest.h"

#include <algorithm>

namespace pyseg::quickshift {

std::int64_t label_trees(const std::int32_t* parent, std::int64_t pixels, std::int32_t start, bool by_root,
                         std::int32_t* labels) {
  std::int32_t next = start;
  std::fill(labels, labels + pixels, -1);
  if (by_root)
    for (std::int64_t i = 0; i < pixels; ++i)
      if (parent[i] == i) labels[i] = next++;
  for (std::int64_t i = 0; i < pixels; ++i) {
    auto at = static_cast<std::int32_t>(i);
    while (labels[at] < 0 && parent[at] != at) at = parent[at];
    const std::int32_t label = labels[at] < 0 ? next++ : labels[at];
    for (at = static_cast<std::int32_t>(i); labels[at] < 0; at = parent[at]) labels[at] = label;
  }
  return next - start;
}

}  // namespace pyseg::quickshift
