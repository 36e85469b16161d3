// The gradient of the weights in pieces: the transpose of winograd.cpp's bilinear forms. With y = A [(G g) * (B d)],
//
//   dL/dg = G^T sum over tiles [(B d) * (A^T dL/dy)]
//
// so that for each pair of combinations of taps there is one product of [channels, rows] with [rows, outputs].
#include <algorithm>

#include "atrous_conv/kernels.h"
#include "atrous_conv/passes.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {
namespace {

constexpr std::int64_t kMostChannels = 96;        // of a stretch
constexpr std::int64_t kMostFloats = 24ll << 20;  // of a block's gradients

struct Scratches {
  Scratch<float> values, sums;
};

// Gradients of a tile's products, in panels: row r of matrix m's panel p is at base + m's rows * row + p * m's rows *
// 64 ...
void spread_tile(const Conv& conv, const Block& block, std::int64_t tile, const float* grad, float* out,
                 std::int64_t row) {
  alignas(64) float middle[kMostProducts][kMostOutputs][kStrip];
  const TransformKernels& k = transform_kernels();
  const std::int64_t i = tile / block.x.count, j = tile % block.x.count;
  const Piece &y = block.y.piece(i), &x = block.x.piece(j);
  for (std::int64_t c = 0; c < conv.outputs; c += kStrip) {
    const int channels = static_cast<int>(std::min(kStrip, conv.outputs - c));
    for (int b = 0; b < x.outputs; ++b) {
      const float* in[kMostOutputs];
      float* to[kMostProducts];
      for (int a = 0; a < y.outputs; ++a) {
        const std::int64_t line = block.y.image(i) * conv.out_size(0) + y.first + a * conv.dilation[0];
        in[a] = grad + (line * conv.out_size(1) + x.first + b * conv.dilation[1]) * conv.outputs + c;
      }
      for (int p = 0; p < y.products; ++p) to[p] = middle[p][b];
      k.spread(y.kind, y.taps, in, to, channels);
    }
    for (int p = 0; p < y.products; ++p) {
      const float* in[kMostOutputs];
      float* to[kMostProducts];
      for (int b = 0; b < x.outputs; ++b) in[b] = middle[p][b];
      for (int q = 0; q < x.products; ++q) to[q] = out + block.row(i, p, j, q) * row + c;
      k.spread(x.kind, x.taps, in, to, channels);
    }
  }
}

// Channel c's sums, [matrix][step], -> += result [outputs, channels, 3, 3].
void gather(const Conv& conv, const Plan& plan, const float* sums, std::int64_t step, std::int64_t c, float* result) {
  alignas(64) float taps[9][kTapColumns];
  for (std::int64_t o = 0; o < conv.outputs; o += kTapColumns) {
    const auto count = static_cast<int>(std::min<std::int64_t>(kTapColumns, conv.outputs - o));
    transform_kernels().gather(sums + o, step, plan.y.ids.data(), static_cast<int>(plan.y.ids.size()),
                               plan.x.ids.data(), static_cast<int>(plan.x.ids.size()), count, taps[0]);
    for (int n = 0; n < count; ++n)
      for (int t = 0; t < 9; ++t) result[((o + n) * conv.channels + c) * 9 + t] += taps[t][n];
  }
}

}  // namespace

void winograd_grad_weight(const Conv& conv, const float* pixels, const float* grad, float* result,
                          const Executor& executor) {
  static thread_local Scratch<float> gradient_scratch;
  const Plan plan(conv);
  // Rows a line apart from a power of two, which would put all of a column into a few sets of the caches.
  const std::int64_t row = line_of(conv.outputs) + 16, panels = gemm::panel_count(conv.outputs);
  const std::int64_t width = gemm::kernels().columns;
  // Stretches of channels, as many for each thread: whole tiles of 6.
  const std::int64_t threads = executor.threads();
  const std::int64_t parts = ((conv.channels + kMostChannels - 1) / kMostChannels + threads - 1) / threads * threads;
  const std::int64_t stretch = ((conv.channels + parts - 1) / parts + 5) / 6 * 6;
  std::fill_n(result, conv.outputs * conv.channels * 9, 0.0f);
  for (const Block& block : blocks(plan, conv.images, std::max<std::int64_t>(kMostFloats / row, 1), 1)) {
    float* gradients = gradient_scratch.take(block.rows() * row + 16);
    executor.each(block.tiles(), [&](std::int64_t tile) { spread_tile(conv, block, tile, grad, gradients, row); });
    executor.queue((conv.channels + stretch - 1) / stretch, [&](std::int64_t task) {
      static thread_local Scratches scratch;
      const std::int64_t c = task * stretch, channels = std::min(stretch, conv.channels - c);
      float* values = scratch.values.take(block.rows() * stretch);
      float* sums = scratch.sums.take(plan.matrices() * stretch * row);
      for (std::int64_t tile = 0; tile < block.tiles(); ++tile)
        transform_tile(conv, block, tile, pixels, c, channels, values, stretch);
      for (std::int64_t m = 0; m < plan.matrices(); ++m)
        for (std::int64_t p = 0; p < panels; ++p) {
          const std::int64_t first = block.base[static_cast<std::size_t>(m)], o = p * width;
          const std::int64_t rows = block.base[static_cast<std::size_t>(m) + 1] - first;
          for (std::int64_t k = 0; k == 0 || k < rows; k += gemm::kDepth)
            gemm::multiply_block({values + (first + k) * stretch, 1, stretch, sums + m * channels * row + o, row,
                                  channels, k > 0, nullptr},
                                 gradients + (first + k) * row + o, row, std::min(gemm::kDepth, rows - k),
                                 static_cast<int>(std::min(width, conv.outputs - o)));
        }
      for (std::int64_t i = 0; i < channels; ++i) gather(conv, plan, sums + i * row, channels * row, c + i, result);
      scratch.values.trim();
      scratch.sums.trim();
    });
  }
  gradient_scratch.trim();
}

}  // namespace pyseg::atrous_conv
