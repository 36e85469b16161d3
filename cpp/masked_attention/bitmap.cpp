// Masks to bitmaps: which source rows and columns a pixel lies between, and the loops over rows.
#include <algorithm>
#include <array>
#include <vector>

#include "core/check.h"
#include "core/workspace.h"
#include "masked_attention/kernels.h"

namespace pyseg::masked_attention {
namespace {

// Where output positions lie between input positions: torch's area_pixel_compute_source_index, in float32.
struct Axis {
  std::vector<std::int32_t> first, second;
  std::vector<float> weight, other;  // of the first and the second
};

Axis axis_of(std::int64_t in, std::int64_t out) {
  Axis axis;
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (std::int64_t i = 0; i < out; ++i) {
    float at = std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f);
    if (in == out) at = static_cast<float>(i);
    const std::int64_t first = std::min(in == out ? i : static_cast<std::int64_t>(at), in - 1);
    const float other = in == out ? 0.0f : std::clamp(at - static_cast<float>(first), 0.0f, 1.0f);
    axis.first.push_back(static_cast<std::int32_t>(first));
    axis.second.push_back(static_cast<std::int32_t>(in == out ? first : std::min(first + 1, in - 1)));
    axis.other.push_back(other);
    axis.weight.push_back(1.0f - other);
  }
  return axis;
}

// Words of all rows of one plane to its tiles.
template <typename Row>
void plane_of_rows(const Layout& layout, std::uint16_t* words, std::uint16_t* bits, Row row) {
  if (layout.line()) {
    std::fill_n(bits, layout.chunks() * kTiles, std::uint16_t{0});
    row(0, bits);
    return;
  }
  const std::int64_t across = layout.across();
  for (std::int64_t y = 0; y < layout.down() * 16; y += 4) {
    for (int r = 0; r < 4; ++r) {
      if (y + r < layout.height) row(y + r, words + r * across);
      else std::fill_n(words + r * across, across, std::uint16_t{0});
    }
    bit_kernels().tiles(words, across, bits + y / 16 * across * kTiles + y % 16);
  }
}

template <typename Plane>
void each_plane(std::int64_t planes, const Layout& layout, std::uint16_t* bits, const Executor& executor, Plane plane) {
  const std::int64_t size = layout.chunks() * kTiles;
  executor.run(planes, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint16_t> words(static_cast<std::size_t>(layout.across() * 4));
    std::vector<float> rows(static_cast<std::size_t>(2 * layout.width));
    for (std::int64_t i = begin; i < end; ++i) plane(i, words.data(), rows.data(), bits + i * size);
  });
}

}  // namespace

void check_layout(const Layout& layout) {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;
  check(layout.height >= 0 && layout.height <= kMost && layout.width >= 0 && layout.width <= kMost &&
            layout.height * layout.width < std::int64_t{1} << 48,
        "masked_attention: size must be 0 .. 2^31 - 1 pixels each way, and fewer than 2^48 in all, got ", layout.height,
        " x ", layout.width);
}

void bits_of_logits(const float* logits, std::int64_t planes, std::int64_t rows, std::int64_t columns,
                    const Layout& layout, float threshold, std::uint16_t* bits, const Executor& executor) {
  check_layout(layout);
  if (planes == 0 || layout.chunks() == 0) return;
  check(rows >= 1 && columns >= 1, "mask_bitmap: mask_logits must have at least one pixel, got ", rows, " x ", columns);
  const BitKernels& kernel = bit_kernels();
  const float* end = logits + planes * rows * columns;
  const std::int64_t down = rows / layout.height, step = columns / layout.width;
  if (down * layout.height == rows && step * layout.width == columns && down >= 2 && down % 2 == 0 &&
      (step == 2 || step == 4 || step == 8)) {
    each_plane(planes, layout, bits, executor, [&](std::int64_t i, std::uint16_t* words, float*, std::uint16_t* to) {
      plane_of_rows(layout, words, to, [&](std::int64_t y, std::uint16_t* out) {
        const float* a = logits + (i * rows + y * down + down / 2 - 1) * columns + step / 2 - 1;
        kernel.halfway(a, a + columns, end, static_cast<int>(step), layout.width, 4.0f * threshold, out);
      });
    });
    return;
  }
  const Axis x = axis_of(columns, layout.width), y_axis = axis_of(rows, layout.height);
  each_plane(planes, layout, bits, executor, [&](std::int64_t i, std::uint16_t* words, float* kept, std::uint16_t* to) {
    std::array<std::int64_t, 2> which{-1, -1};  // source rows in `kept`
    const auto interpolated = [&](std::int64_t row, std::int64_t other) {
      std::size_t at = which[0] == row ? 0 : which[1] == row ? 1 : which[0] == other ? 1 : 0;
      float* out = kept + static_cast<std::int64_t>(at) * layout.width;
      if (which[at] != row)
        kernel.across(logits + (i * rows + row) * columns, x.first.data(), x.second.data(), x.weight.data(),
                      x.other.data(), layout.width, out);
      which[at] = row;
      return static_cast<const float*>(out);
    };
    plane_of_rows(layout, words, to, [&](std::int64_t y, std::uint16_t* out) {
      const auto n = static_cast<std::size_t>(y);
      const float* a = interpolated(y_axis.first[n], y_axis.second[n]);
      const float* b = interpolated(y_axis.second[n], y_axis.first[n]);
      kernel.between(a, b, y_axis.weight[n], y_axis.other[n], layout.width, threshold, out);
    });
  });
}

void bits_of_bytes(const std::uint8_t* masks, std::int64_t planes, const Layout& layout, std::uint16_t* bits,
                   const Executor& executor) {
  check_layout(layout);
  if (planes == 0 || layout.chunks() == 0) return;
  each_plane(planes, layout, bits, executor, [&](std::int64_t i, std::uint16_t* words, float*, std::uint16_t* to) {
    plane_of_rows(layout, words, to, [&](std::int64_t y, std::uint16_t* out) {
      bit_kernels().bytes(masks + i * layout.keys() + y * layout.width, layout.width, out);
    });
  });
}

}  // namespace pyseg::masked_attention
