// How a head is cut, and its operands in scratch memory: what forward.cpp and backward.cpp share.
#pragma once

#include <algorithm>

#include "core/workspace.h"
#include "relpos_attention/kernels.h"

namespace pyseg::relpos_attention {

inline std::int64_t rounded(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

// Keys come in blocks: all of a window at once, else 192, whose keys and values (100 KB with d = 64) stay in the second
// level cache with a block of queries. Rows of scores are an odd number of cache lines: columns of them are operands in
// the backward pass, and else they would share a few sets of the first level cache.
struct Cut {
  std::int64_t tokens, channels, row;  // row: of channels, whole chunks
  std::int64_t keys, score_row;        // keys of a block, a multiple of kPanel
  std::int64_t queries;                // of a block, a multiple of kRows
  std::int64_t of_y, table_row;        // columns of biases: those of rows, from 0; those of columns, from of_y

  Cut(const Problem& p, std::int64_t most_queries)
      : tokens(p.tokens()),
        channels(p.channels),
        row(rounded(p.channels, kChunk)),
        keys(tokens <= 256 ? rounded(tokens, kPanel) : 192),
        score_row(rounded(std::min(keys, tokens), kChunk) + kChunk),
        of_y(rounded(2 * p.height - 1, kChunk) + kChunk),
        table_row(of_y + rounded(2 * p.width - 1, kChunk) + kChunk) {
    if (score_row / kChunk % 2 == 0) score_row += kChunk;
    const std::int64_t blocks = (tokens + most_queries - 1) / most_queries;
    queries = rounded((tokens + blocks - 1) / blocks, kRows);
  }
  std::int64_t query_blocks() const { return (tokens + queries - 1) / queries; }
  std::int64_t panels() const { return (tokens + kPanel - 1) / kPanel; }
};

// The tables for all heads. A query at row y has its biases of the rows of keys in columns H - 1 - y and on.
struct Tables {
  Scratch<float> columns;  // [d][table_row]: transposed, the order of each table reversed
  Scratch<float> rows;     // [table_row][row]: the same, not transposed; for backward

  void make(const Problem& p, const Cut& cut, bool with_rows);
};

// Rows `first` and on of k or v, times `scale`, as panels [channels][kPanel] of up to kPanel rows. `spare`: kPanel
// rows; or, where `rows` is not null, all of them go there.
void read_panels(const Problem& p, const Cut& cut, const View& view, std::int64_t b, std::int64_t h, float scale,
                 float* panels, float* spare, float* rows);

// Scores of a group with the bias, for one block of keys: q [kRows][row].
void scores_of(const Cut& cut, const Group& group, const float* q, const float* panels);
// Products of kRows rows with the panels of a block of keys.
void by_panels(const Cut& cut, std::int64_t first, std::int64_t count, const float* a, const float* panels, float* c,
               bool accumulate);

// q's products with the tables, kRows queries from token `first` on (`count` in all): biases [kRows][table_row].
void biases_of(const Problem& p, const Cut& cut, const Tables& tables, const float* q, std::int64_t first,
               std::int64_t count, float* biases);
// The group of kRows queries from token `first` on; rows beyond the last of `count` are as that one.
Group group_of(const Problem& p, const Cut& cut, std::int64_t first, std::int64_t count, const float* biases,
               float* scores);

}  // namespace pyseg::relpos_attention
