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

// Rows of a block. Small blocks stay in the caches, but read all weights once more: they are half as large as these.
std::int64_t block_rows(const Conv& conv, const Plan& plan, std::int64_t row) {
  const std::int64_t weights = plan.matrices() * conv.channels * conv.outputs;
  return std::clamp<std::int64_t>(weights / 2, 1 << 18, 8 << 20) / row;
}

struct Scratches {
  Scratch<float> values, sums;
};

// A tile: its pieces, and the rows of its inputs and outputs, all channels.
struct Tile {
  const Conv& conv;
  const Block& block;
  std::int64_t i, j;
  const Piece &y, &x;

  Tile(const Conv& conv, const Block& block, std::int64_t tile)
      : conv(conv),
        block(block),
        i(tile / block.x.count),
        j(tile % block.x.count),
        y(block.y.piece(i)),
        x(block.x.piece(j)) {}

  bool square() const { return y.kind == x.kind && transform_kernels().squares(y.kind); }

  // The pixel of input (a, b), or null in the padding.
  const float* input(const float* pixels, int a, int b) const {
    const std::int64_t line = y.input + a * conv.dilation[0], column = x.input + b * conv.dilation[1];
    if (line < 0 || line >= conv.height || column < 0 || column >= conv.width) return nullptr;
    return pixels + ((block.y.image(i) * conv.height + line) * conv.width + column) * conv.channels;
  }
  float* output(const Output& out, int a, int b) const {
    const std::int64_t line = block.y.image(i) * conv.out_size(0) + y.first + a * conv.dilation[0];
    return out.data + (line * conv.out_size(1) + x.first + b * conv.dilation[1]) * out.row;
  }

  void outputs(const float* sums, std::int64_t sum_row, const gemm::Epilogue& epilogue, const Output& out) const {
    const float* product[kMostProducts * kMostProducts];
    float* pixel[kMostOutputs * kMostOutputs];
    for (int p = 0; p < y.products; ++p)
      for (int q = 0; q < x.products; ++q) product[p * x.products + q] = sums + block.row(i, p, j, q) * sum_row;
    for (int a = 0; a < y.outputs; ++a)
      for (int b = 0; b < x.outputs; ++b) pixel[a * x.outputs + b] = output(out, a, b);
    if (square()) {
      transform_kernels().square_outputs(y.kind, product, pixel, static_cast<int>(conv.outputs), &epilogue);
      return;
    }
    for (std::int64_t c = 0; c < conv.outputs; c += kStrip)
      output_strip(product, pixel, c, static_cast<int>(std::min(kStrip, conv.outputs - c)), epilogue.from(c));
  }

  void output_strip(const float* const* product, float* const* pixel, std::int64_t c, int channels,
                    const gemm::Epilogue& epilogue) const {
    const TransformKernels& k = transform_kernels();
    alignas(64) float middle[kMostOutputs][kMostProducts][kStrip];
    const float* in[kMostProducts];
    float* to[kMostOutputs];
    for (int q = 0; q < x.products; ++q) {
      for (int p = 0; p < y.products; ++p) in[p] = product[p * x.products + q] + c;
      for (int a = 0; a < y.outputs; ++a) to[a] = middle[a][q];
      k.outputs(y.kind, y.taps, in, to, channels, nullptr);
    }
    for (int a = 0; a < y.outputs; ++a) {
      for (int q = 0; q < x.products; ++q) in[q] = middle[a][q];
      for (int b = 0; b < x.outputs; ++b) to[b] = pixel[a * x.outputs + b] + c;
      k.outputs(x.kind, x.taps, in, to, channels, &epilogue);
    }
  }
};

}  // namespace

void transform_tile(const Conv& conv, const Block& block, std::int64_t number, const float* pixels, std::int64_t first,
                    std::int64_t channels, float* values, std::int64_t value_row) {
  alignas(64) static const float zeros[kMostStretch] = {};
  const TransformKernels& k = transform_kernels();
  const Tile tile(conv, block, number);
  const Piece &y = tile.y, &x = tile.x;
  const float* pixel[kMostInputs * kMostInputs];
  float* product[kMostProducts * kMostProducts];
  for (int a = 0; a < y.inputs; ++a)
    for (int b = 0; b < x.inputs; ++b) {
      const float* at = tile.input(pixels, a, b);
      pixel[a * x.inputs + b] = at == nullptr ? zeros : at + first;
    }
  for (int p = 0; p < y.products; ++p)
    for (int q = 0; q < x.products; ++q)
      product[p * x.products + q] = values + block.row(tile.i, p, tile.j, q) * value_row;
  if (tile.square()) return k.square_inputs(y.kind, pixel, product, static_cast<int>(channels));
  alignas(64) float middle[kMostProducts][kMostInputs][kStrip];
  const float* in[kMostInputs];
  float* to[kMostProducts];
  for (std::int64_t c = 0; c < channels; c += kStrip) {
    const int strip = static_cast<int>(std::min(kStrip, channels - c));
    for (int b = 0; b < x.inputs; ++b) {
      for (int a = 0; a < y.inputs; ++a) in[a] = pixel[a * x.inputs + b] + c;
      for (int p = 0; p < y.products; ++p) to[p] = middle[p][b];
      k.inputs(y.kind, y.taps, in, to, strip);
    }
    for (int p = 0; p < y.products; ++p) {
      for (int b = 0; b < x.inputs; ++b) in[b] = middle[p][b];
      for (int q = 0; q < x.products; ++q) to[q] = product[p * x.products + q] + c;
      k.inputs(x.kind, x.taps, in, to, strip);
    }
  }
}

void winograd_forward(const Conv& conv, const float* pixels, const float* packed, const gemm::Epilogue& epilogue,
                      const Output& out, const Executor& executor) {
  const Plan plan(conv);
  const std::int64_t panels = gemm::panel_count(conv.outputs), size = gemm::packed_size(conv.channels, conv.outputs);
  const std::int64_t sum_row = line_of(conv.outputs), value_row = line_of(std::min(conv.channels, kMostStretch));
  const std::int64_t rows = block_rows(conv, plan, value_row + sum_row);
  const std::vector<Block> all = blocks(plan, conv.images, rows, executor.threads());
  executor.queue(static_cast<std::int64_t>(all.size()), [&](std::int64_t task) {
    static thread_local Scratches scratch;
    const Block& block = all[static_cast<std::size_t>(task)];
    float* values = scratch.values.take(block.rows() * value_row);
    float* sums = scratch.sums.take(block.rows() * sum_row);
    for (std::int64_t c = 0; c < conv.channels; c += kMostStretch) {
      const std::int64_t stretch = std::min(kMostStretch, conv.channels - c);
      for (std::int64_t tile = 0; tile < block.tiles(); ++tile)
        transform_tile(conv, block, tile, pixels, c, stretch, values, value_row);
      for (std::int64_t matrix = 0; matrix < plan.matrices(); ++matrix)
        for (std::int64_t p = 0; p < panels; ++p) {
          const std::int64_t row = block.base[static_cast<std::size_t>(matrix)];
          const std::int64_t count = block.base[static_cast<std::size_t>(matrix) + 1] - row;
          const gemm::Panel panel = gemm::panel(packed + matrix * size, conv.channels, conv.outputs, p);
          gemm::multiply_block({values + row * value_row, value_row, 1, sums + row * sum_row + panel.first, sum_row,
                                count, c > 0, nullptr},
                               panel.data + c * panel.step, panel.step, stretch, panel.columns);
        }
    }
    for (std::int64_t tile = 0; tile < block.tiles(); ++tile)
      Tile(conv, block, tile).outputs(sums, sum_row, epilogue, out);
    scratch.values.trim();
    scratch.sums.trim();
  });
}

}  // namespace pyseg::atrous_conv
