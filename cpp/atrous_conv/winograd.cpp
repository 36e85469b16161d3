// Forward in pieces: for each block, transform a stretch of channels, multiply it with each matrix of weights, add up;
// then transform the sums to outputs.
//
// Products are matrix products at 95 % of the multiply-adds' peak and take four fifths of the time; transforms, which
// write and read each row once, take the rest.
#include <algorithm>

#include "atrous_conv/blocks.h"
#include "atrous_conv/kernels.h"
#include "atrous_conv/passes.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {
namespace {

constexpr std::int64_t kStretch = 2048;  // channels

// Rows of a block. Small blocks stay in the caches, but read all weights once more: they are half as large as these.
std::int64_t block_rows(const Conv& conv, const Plan& plan, std::int64_t row) {
  const std::int64_t weights = plan.matrices() * conv.channels * conv.outputs;
  return std::clamp<std::int64_t>(weights / 2, 1 << 18, 8 << 20) / row;
}

struct Scratches {
  Scratch<float> values, sums;
};

// Writes the outputs of tile (i, j), all channels.
void outputs_of_tile(const Conv& conv, const Block& block, std::int64_t tile, const float* sums, std::int64_t sum_row,
                     const gemm::Epilogue& epilogue, const Output& out) {
  const TransformKernels& k = transform_kernels();
  const std::int64_t i = tile / block.x.count, j = tile % block.x.count;
  const Piece &y = block.y.piece(i), &x = block.x.piece(j);
  alignas(64) float middle[kMostOutputs][kMostProducts][kStrip];
  const std::int64_t width = conv.out_size(1);
  for (std::int64_t c = 0; c < conv.outputs; c += kStrip) {
    const int channels = static_cast<int>(std::min(kStrip, conv.outputs - c));
    const gemm::Epilogue end = epilogue.from(c);
    for (int q = 0; q < x.products; ++q) {
      const float* in[kMostProducts];
      float* to[kMostOutputs];
      for (int p = 0; p < y.products; ++p) in[p] = sums + block.row(i, p, j, q) * sum_row + c;
      for (int o = 0; o < y.outputs; ++o) to[o] = middle[o][q];
      k.outputs(y.kind, y.taps, in, to, channels, nullptr);
    }
    for (int a = 0; a < y.outputs; ++a) {
      const float* in[kMostProducts];
      float* to[kMostOutputs];
      for (int q = 0; q < x.products; ++q) in[q] = middle[a][q];
      const std::int64_t line = (block.y.image(i) * conv.out_size(0) + y.first + a * conv.dilation[0]) * width;
      for (int b = 0; b < x.outputs; ++b) to[b] = out.data + (line + x.first + b * conv.dilation[1]) * out.row + c;
      k.outputs(x.kind, x.taps, in, to, channels, &end);
    }
  }
}

}  // namespace

void transform_tile(const Conv& conv, const Block& block, std::int64_t tile, const float* pixels, std::int64_t first,
                    std::int64_t channels, float* values, std::int64_t value_row) {
  alignas(64) static const float zeros[kStrip] = {};
  const TransformKernels& k = transform_kernels();
  const std::int64_t i = tile / block.x.count, j = tile % block.x.count;
  const Piece &y = block.y.piece(i), &x = block.x.piece(j);
  const float* image = pixels + block.y.image(i) * conv.height * conv.width * conv.channels;
  alignas(64) float middle[kMostProducts][kMostInputs][kStrip];
  for (std::int64_t c = 0; c < channels; c += kStrip) {
    const int strip = static_cast<int>(std::min(kStrip, channels - c));
    for (int b = 0; b < x.inputs; ++b) {
      const float* in[kMostInputs];
      float* to[kMostProducts];
      const std::int64_t column = x.input + b * conv.dilation[1];
      for (int a = 0; a < y.inputs; ++a) {
        const std::int64_t line = y.input + a * conv.dilation[0];
        const bool inside = line >= 0 && line < conv.height && column >= 0 && column < conv.width;
        in[a] = inside ? image + (line * conv.width + column) * conv.channels + first + c : zeros;
      }
      for (int p = 0; p < y.products; ++p) to[p] = middle[p][b];
      k.inputs(y.kind, y.taps, in, to, strip);
    }
    for (int p = 0; p < y.products; ++p) {
      const float* in[kMostInputs];
      float* to[kMostProducts];
      for (int b = 0; b < x.inputs; ++b) in[b] = middle[p][b];
      for (int q = 0; q < x.products; ++q) to[q] = values + block.row(i, p, j, q) * value_row + c;
      k.inputs(x.kind, x.taps, in, to, strip);
    }
  }
}

void winograd_forward(const Conv& conv, const float* pixels, const float* packed, const gemm::Epilogue& epilogue,
                      const Output& out, const Executor& executor) {
  static thread_local Scratches scratch;
  const Plan plan(conv);
  const std::int64_t panels = gemm::panel_count(conv.outputs), size = gemm::packed_size(conv.channels, conv.outputs);
  const std::int64_t sum_row = line_of(conv.outputs), value_row = line_of(std::min(conv.channels, kStretch));
  for (const Block& block : blocks(plan, conv.images, block_rows(conv, plan, value_row + sum_row))) {
    float* values = scratch.values.take(block.rows() * value_row);
    float* sums = scratch.sums.take(block.rows() * sum_row);
    for (std::int64_t c = 0; c < conv.channels; c += kStretch) {
      const std::int64_t stretch = std::min(kStretch, conv.channels - c);
      executor.each(block.tiles(), [&](std::int64_t tile) {
        transform_tile(conv, block, tile, pixels, c, stretch, values, value_row);
      });
      executor.queue(plan.matrices() * panels, [&](std::int64_t task) {
        const std::int64_t matrix = task / panels, row = block.base[static_cast<std::size_t>(matrix)];
        const gemm::Panel panel = gemm::panel(packed + matrix * size, conv.channels, conv.outputs, task % panels);
        gemm::multiply_block({values + row * value_row, value_row, 1, sums + row * sum_row + panel.first, sum_row,
                              block.base[static_cast<std::size_t>(matrix) + 1] - row, c > 0, nullptr},
                             panel.data + c * panel.step, panel.step, stretch, panel.columns);
      });
    }
    executor.each(block.tiles(),
                  [&](std::int64_t tile) { outputs_of_tile(conv, block, tile, sums, sum_row, epilogue, out); });
  }
}

}  // namespace pyseg::atrous_conv
