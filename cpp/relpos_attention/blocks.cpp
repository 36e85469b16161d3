// Operands in scratch memory, and the products of a group of queries with them.
#include "relpos_attention/blocks.h"

#include "atrous_conv/kernels.h"

namespace pyseg::relpos_attention {

void Tables::make(const Problem& p, const Cut& cut, bool with_rows) {
  float* to = columns.take(cut.channels * cut.table_row + kPanel);
  float* whole = with_rows ? rows.take(cut.table_row * cut.row) : nullptr;
  std::fill(to, to + cut.channels * cut.table_row + kPanel, 0.0f);
  if (with_rows) std::fill(whole, whole + cut.table_row * cut.row, 0.0f);
  const auto copy = [&](const void* table, std::int64_t length, std::int64_t column) {
    for (std::int64_t t = 0; t < length; ++t) {
      const float* from = static_cast<const float*>(table) + (length - 1 - t) * cut.channels;
      for (std::int64_t c = 0; c < cut.channels; ++c) to[c * cut.table_row + column + t] = from[c];
      if (with_rows) std::copy(from, from + cut.channels, whole + (column + t) * cut.row);
    }
  };
  copy(p.rel_h, 2 * p.height - 1, 0);
  copy(p.rel_w, 2 * p.width - 1, cut.of_y);
}

void read_panels(const Problem& p, const Cut& cut, const View& view, std::int64_t b, std::int64_t h, float scale,
                 float* panels, float* spare, float* rows) {
  for (std::int64_t first = 0; first < cut.tokens; first += kPanel, panels += kPanel * cut.channels) {
    const std::int64_t count = std::min<std::int64_t>(kPanel, cut.tokens - first);
    float* here = rows == nullptr ? spare : rows + first * cut.row;
    row_kernels().read(view.at(p.type, b, h, first), p.type, view.token, view.channel, count, cut.channels, scale, here,
                       cut.row);
    if (count < kPanel) std::fill(panels, panels + kPanel * cut.channels, 0.0f);
    atrous_conv::layout_kernels().transpose(here, cut.row, count, cut.channels, panels, kPanel);
  }
}

void by_panels(const Cut& cut, std::int64_t first, std::int64_t count, const float* a, const float* panels, float* c,
               bool accumulate) {
  for (std::int64_t key = 0; key < count; key += kPanel)
    tile_kernels().product({a, cut.row, 1, panels + (first + key) * cut.channels, kPanel, cut.channels, c + key,
                            cut.score_row, rounded(std::min<std::int64_t>(kPanel, count - key), kChunk), accumulate});
}

void scores_of(const Cut& cut, const Group& group, const float* q, const float* panels) {
  row_kernels().bias(group);
  by_panels(cut, group.first, group.count, q, panels, group.scores, true);
}

void biases_of(const Problem& p, const Cut& cut, const Tables& tables, const float* q, std::int64_t first,
               std::int64_t count, float* biases) {
  const std::int64_t last = first + std::min<std::int64_t>(kRows, count) - 1;
  // Of the rows' table only what one of these queries needs.
  const std::int64_t low = p.height - 1 - last / p.width, high = 2 * p.height - 1 - first / p.width;
  const float* columns = tables.columns.get();
  const auto multiply = [&](std::int64_t column, std::int64_t width) {
    tile_kernels().product({q, cut.row, 1, columns + column, cut.table_row, cut.channels, biases + column,
                            cut.table_row, rounded(width, kChunk), false});
  };
  multiply(low, high - low);
  multiply(cut.of_y, 2 * p.width - 1);
}

Group group_of(const Problem& p, const Cut& cut, std::int64_t first, std::int64_t count, const float* biases,
               float* scores) {
  Group group{};
  for (std::int64_t i = 0; i < kRows; ++i) {
    const std::int64_t query = first + std::min(i, count - 1);
    const float* row = biases + i * cut.table_row;
    group.of_y[i] = row + p.height - 1 - query / p.width;
    group.of_x[i] = row + cut.of_y + p.width - 1 - query % p.width;
  }
  group.width = p.width;
  group.scores = scores;
  group.row = cut.score_row;
  return group;
}

}  // namespace pyseg::relpos_attention
