// Direct convolution: one matrix product a tap, with rows of A where the tap's pixels lie. Pixels whose taps outside of
// the padding are the same are taken together, so that the others cost nothing.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "atrous_conv/kernels.h"
#include "atrous_conv/passes.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {
namespace {

constexpr std::int64_t kGroup = 240;  // pixels that a thread takes through a panel of weights

// Positions of an axis' outputs with the same taps inside, which are a stretch.
struct Class {
  std::int64_t tap, taps;
  std::vector<std::int64_t> outputs;
};

std::vector<Class> classes(const Conv& conv, int axis) {
  const std::int64_t in = axis == 0 ? conv.height : conv.width;
  std::map<std::pair<std::int64_t, std::int64_t>, Class> found;
  for (std::int64_t o = 0; o < conv.out_size(axis); ++o) {
    const std::int64_t at = o * conv.stride[axis] - conv.padding[axis], rate = conv.dilation[axis];
    const std::int64_t first = at >= 0 ? 0 : (-at + rate - 1) / rate;
    const std::int64_t end = at >= in ? 0 : std::min(conv.kernel[axis], (in - 1 - at) / rate + 1);
    const std::int64_t count = std::max<std::int64_t>(end - first, 0);
    Class& c = found[{count == 0 ? 0 : first, count}];
    c.tap = first;
    c.taps = count;
    c.outputs.push_back(o);
  }
  std::vector<Class> all;
  for (auto& [key, c] : found) all.push_back(std::move(c));
  return all;
}

struct Pixel {
  std::int64_t in, out;  // the first of its kernel's, perhaps outside; and its own
};

struct Group {
  std::int64_t first, count;  // pixels
  std::int64_t tap[2], taps[2];
};

struct Groups {
  std::vector<Pixel> pixels;
  std::vector<Group> groups;

  explicit Groups(const Conv& conv) {
    const std::int64_t out_h = conv.out_size(0), out_w = conv.out_size(1);
    pixels.reserve(static_cast<std::size_t>(conv.images * out_h * out_w));
    const auto columns = classes(conv, 1);
    for (const Class& y : classes(conv, 0))
      for (const Class& x : columns) {
        const auto first = static_cast<std::int64_t>(pixels.size());
        for (std::int64_t n = 0; n < conv.images; ++n)
          for (const std::int64_t i : y.outputs)
            for (const std::int64_t j : x.outputs)
              pixels.push_back({(n * conv.height + i * conv.stride[0] - conv.padding[0]) * conv.width +
                                    j * conv.stride[1] - conv.padding[1],
                                (n * out_h + i) * out_w + j});
        const auto end = static_cast<std::int64_t>(pixels.size());
        const std::int64_t parts = (end - first + kGroup - 1) / kGroup;
        for (std::int64_t p = 0; p < parts; ++p) {
          const std::int64_t from = first + (end - first) * p / parts, to = first + (end - first) * (p + 1) / parts;
          groups.push_back({from, to - from, {y.tap, x.tap}, {y.taps, x.taps}});
        }
      }
  }
};

struct Product {
  const Conv& conv;
  const float* pixels;
  const float* packed;
  const gemm::Epilogue& epilogue;
  const Output& out;

  // Rows of C for a few pixels, one tap, one stretch of channels.
  void tile(const Pixel* at, int rows, std::int64_t offset, const gemm::Panel& panel, std::int64_t c,
            std::int64_t stretch, bool accumulate, const gemm::Epilogue* end) const {
    const float* a[16];
    float* to[16];
    for (int r = 0; r < rows; ++r) {
      a[r] = pixels + (at[r].in + offset) * conv.channels + c;
      to[r] = out.data + at[r].out * out.row + panel.first;
    }
    for (std::int64_t k = 0; k == 0 || k < stretch; k += gemm::kChain) {
      const std::int64_t chain = std::min(gemm::kChain, stretch - k);
      const float* b = panel.data + (c + k) * panel.step;
      const bool last = k + chain >= stretch;
      gemm::kernels().tile(
          {a, 1, b, panel.step, chain, to, rows, panel.columns, accumulate || k > 0, last ? end : nullptr});
      for (int r = 0; r < rows; ++r) a[r] += chain;
    }
  }

  void group(const Groups& all, const Group& g, std::int64_t panel_index) const {
    const std::int64_t size = gemm::packed_size(conv.channels, conv.outputs), step = gemm::kernels().rows;
    const gemm::Panel first = gemm::panel(packed, conv.channels, conv.outputs, panel_index);
    const gemm::Epilogue end = epilogue.from(first.first);
    const std::int64_t taps = g.taps[0] * g.taps[1];
    for (std::int64_t c = 0; c < conv.channels; c += gemm::kDepth) {
      const std::int64_t stretch = std::min(gemm::kDepth, conv.channels - c);
      for (std::int64_t t = 0; t < std::max<std::int64_t>(taps, 1); ++t) {
        const std::int64_t a = taps == 0 ? 0 : g.tap[0] + t / g.taps[1], b = taps == 0 ? 0 : g.tap[1] + t % g.taps[1];
        const std::int64_t offset = a * conv.dilation[0] * conv.width + b * conv.dilation[1];
        gemm::Panel panel = first;
        panel.data += (a * conv.kernel[1] + b) * size;
        const bool last = c + stretch >= conv.channels && t + 1 >= taps;
        for (std::int64_t i = 0; i < g.count; i += step)
          tile(all.pixels.data() + g.first + i, static_cast<int>(std::min(step, g.count - i)), offset, panel, c,
               taps == 0 ? 0 : stretch, c > 0 || t > 0, last ? &end : nullptr);
      }
    }
  }
};

}  // namespace

void direct_forward(const Conv& conv, const float* pixels, const float* packed, const gemm::Epilogue& epilogue,
                    const Output& out, const Executor& executor) {
  const bool point = conv.kernel[0] * conv.kernel[1] * conv.stride[0] * conv.stride[1] == 1;
  if (point && conv.padding[0] == 0 && conv.padding[1] == 0)
    return gemm::multiply(pixels, conv.channels, conv.images * conv.height * conv.width, packed, conv.channels,
                          conv.outputs, out.data, out.row, epilogue, executor);
  const Groups groups(conv);
  const std::int64_t panels = gemm::panel_count(conv.outputs);
  const Product product{conv, pixels, packed, epilogue, out};
  executor.queue(static_cast<std::int64_t>(groups.groups.size()), [&](std::int64_t task) {
    for (std::int64_t p = 0; p < panels; ++p) product.group(groups, groups.groups[static_cast<std::size_t>(task)], p);
  });
}

void direct_grad_weight(const Conv& conv, const float* pixels, const float* grad, float* result,
                        const Executor& executor) {
  static thread_local Scratch<float> scratch;
  const std::int64_t taps = conv.kernel[0] * conv.kernel[1], row = line_of(conv.outputs);
  const std::int64_t out_h = conv.out_size(0), out_w = conv.out_size(1);
  // Rows of whole vectors, for the tile to read; and one sum for each tap.
  float* padded = scratch.take(conv.images * out_h * out_w * row + taps * conv.channels * row);
  float* sums = padded + conv.images * out_h * out_w * row;
  executor.each(conv.images * out_h * out_w, [&](std::int64_t p) {
    std::copy_n(grad + p * conv.outputs, conv.outputs, padded + p * row);
    std::fill(padded + p * row + conv.outputs, padded + (p + 1) * row, 0.0f);
  });
  std::fill_n(sums, taps * conv.channels * row, 0.0f);
  const std::int64_t panels = gemm::panel_count(conv.outputs), step = gemm::kernels().columns;
  executor.queue(taps * panels, [&](std::int64_t task) {
    const std::int64_t tap = task / panels, a = tap / conv.kernel[1], b = tap % conv.kernel[1];
    const std::int64_t o = task % panels * step;
    const std::int64_t first_in = b * conv.dilation[1] - conv.padding[1], stride = conv.stride[1];
    // Outputs [j0, j1) see the tap inside.
    const std::int64_t j0 = first_in >= 0 ? 0 : (-first_in + stride - 1) / stride;
    const std::int64_t j1 = first_in >= conv.width ? 0 : std::min(out_w, (conv.width - 1 - first_in) / stride + 1);
    if (j1 <= j0) return;
    for (std::int64_t line = 0; line < conv.images * out_h; ++line) {
      const std::int64_t y = line % out_h * conv.stride[0] - conv.padding[0] + a * conv.dilation[0];
      if (y < 0 || y >= conv.height) continue;
      const float* in =
          pixels + ((line / out_h * conv.height + y) * conv.width + first_in + j0 * stride) * conv.channels;
      gemm::multiply_block(
          {in, 1, stride * conv.channels, sums + tap * conv.channels * row + o, row, conv.channels, true, nullptr},
          padded + (line * out_w + j0) * row + o, row, j1 - j0, static_cast<int>(std::min(step, conv.outputs - o)));
    }
  });
  executor.each(conv.outputs, [&](std::int64_t o) {
    for (std::int64_t c = 0; c < conv.channels; ++c)
      for (std::int64_t t = 0; t < taps; ++t)
        result[(o * conv.channels + c) * taps + t] = sums[(t * conv.channels + c) * row + o];
  });
}

}  // namespace pyseg::atrous_conv
