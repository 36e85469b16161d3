// Panels of B, and the loops around the tile.
#include "gemm/gemm.h"

#include <algorithm>

namespace pyseg::gemm {
namespace {

// Rows of A that one thread takes through a panel: with kDepth columns they fill half of a second level cache of 1 MB.
constexpr std::int64_t kBlockRows = 240;

std::int64_t rounded(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

std::int64_t packed_size(std::int64_t depth, std::int64_t columns) {
  return depth * rounded(columns, kernels().vector);
}

std::int64_t panel_count(std::int64_t columns) { return (columns + kernels().columns - 1) / kernels().columns; }

Panel panel(const float* packed, std::int64_t depth, std::int64_t columns, std::int64_t index) {
  const std::int64_t first = index * kernels().columns;
  const std::int64_t count = std::min<std::int64_t>(kernels().columns, columns - first);
  return {packed + first * depth, rounded(count, kernels().vector), first, static_cast<int>(count)};
}

void pack(const Strided& b, std::int64_t depth, std::int64_t columns, float* packed, const Executor& executor) {
  executor.run(panel_count(columns) * depth, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const Panel to = panel(packed, depth, columns, task / depth);
      const std::int64_t k = task % depth;
      const float* in = b.data + k * b.row + to.first * b.column;
      float* out = packed + (to.data - packed) + k * to.step;
      for (int n = 0; n < to.columns; ++n) out[n] = in[n * b.column];
      std::fill(out + to.columns, out + to.step, 0.0f);
    }
  });
}

void multiply_block(const Block& block, const float* b, std::int64_t b_step, std::int64_t depth, int columns) {
  const Kernels& kernel = kernels();
  const float* a[16];
  float* c[16];
  for (std::int64_t i = 0; i < block.rows; i += kernel.rows) {
    const int rows = static_cast<int>(std::min<std::int64_t>(kernel.rows, block.rows - i));
    for (int r = 0; r < rows; ++r) {
      a[r] = block.a + (i + r) * block.a_row;
      c[r] = block.c + (i + r) * block.c_row;
    }
    for (std::int64_t k = 0; k == 0 || k < depth; k += kChain) {
      const std::int64_t chain = std::min(kChain, depth - k);
      const Epilogue* end = k + chain >= depth ? block.epilogue : nullptr;
      kernel.tile({a, block.a_step, b + k * b_step, b_step, chain, c, rows, columns, block.accumulate || k > 0, end});
      for (int r = 0; r < rows; ++r) a[r] += chain * block.a_step;
    }
  }
}

void multiply(const float* a, std::int64_t a_row, std::int64_t rows, const float* packed, std::int64_t depth,
              std::int64_t columns, float* c, std::int64_t c_row, const Epilogue& epilogue, const Executor& executor) {
  const std::int64_t panels = panel_count(columns), threads = executor.threads();
  // Blocks of rows, as many for each thread: a row is read by one of them.
  const std::int64_t wanted = std::max<std::int64_t>((rows + kBlockRows - 1) / kBlockRows, 1);
  const std::int64_t parts = rounded(wanted, threads), step = rounded((rows + parts - 1) / parts, kernels().rows);
  executor.each((rows + step - 1) / std::max<std::int64_t>(step, 1), [&](std::int64_t block) {
    const std::int64_t first = block * step, count = std::min(step, rows - first);
    for (std::int64_t i = 0; i < panels; ++i) {
      const Panel p = panel(packed, depth, columns, i);
      const Epilogue end = epilogue.from(p.first);
      for (std::int64_t k = 0; k == 0 || k < depth; k += kDepth) {
        const std::int64_t stretch = std::min(kDepth, depth - k);
        multiply_block({a + first * a_row + k, a_row, 1, c + first * c_row + p.first, c_row, count, k > 0,
                        k + stretch >= depth ? &end : nullptr},
                       p.data + k * p.step, p.step, stretch, p.columns);
      }
    }
  });
}

}  // namespace pyseg::gemm
