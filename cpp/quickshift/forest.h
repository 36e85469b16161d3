// From parents to labels: the last step of quick shift.
#pragma once

#include <cstdint>

namespace pyseg::quickshift {

// `parent` [pixels]: raster indices, a root's its own; without cycles. Labels [pixels] from `start` on: in order of the
// trees' first pixels, or of their roots. Returns the number of trees.
std::int64_t label_trees(const std::int32_t* parent, std::int64_t pixels, std::int32_t start, bool by_root,
                         std::int32_t* labels);

}  // namespace pyseg::quickshift
