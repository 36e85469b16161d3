// Quick shift's features: the colours of an image as it weighs them, in planes with margins; see field.h.
#pragma once

#include <cstdint>

#include "core/parallel.h"
#include "core/view.h"
#include "core/workspace.h"
#include "quickshift/field.h"
#include "quickshift/quickshift.h"

namespace pyseg::quickshift {

template <typename T>
class Features {
 public:
  // In float32: CIELAB, or 0..100 for a channel's full range (floats: [0, 1]), the scale of CIELAB's L; then smoothed,
  // then multiplied by the ratio. In the exact arithmetic: the image's values. Throws where one is NaN or infinite.
  Field<T> load(const ImageView& image, const Options& options, std::int64_t window_y, std::int64_t window_x,
                const Executor& exec);

 private:
  Scratch<T> planes_, other_;
};

}  // namespace pyseg::quickshift
