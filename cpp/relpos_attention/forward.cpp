// The forward pass: for a block of queries, over blocks of keys, six queries at a time: biases into a row of scores, q
// k on top, exponentials against the largest score so far, and their product with v on top of what earlier blocks gave
// (online softmax: Milakov and Gimelshein, 2018; Dao et al., "FlashAttention", NeurIPS 2022). A thread holds k as
// panels of columns and v as rows, of one head, 2 MB for 64 x 64 pixels and d = 64; six rows of scores are 5 KB.
#include "core/check.h"
#include "relpos_attention/blocks.h"

namespace pyseg::relpos_attention {

namespace {

constexpr std::int64_t kQueries = 204;  // of a block, at most: a whole 14 x 14 window

struct Workspace {
  Scratch<float> keys, values, spare, q, out, biases, scores;
  Scratch<Running> running;

  explicit Workspace(const Cut& cut) {
    keys.take(cut.panels() * kPanel * cut.channels);
    values.take(cut.tokens * cut.row);
    spare.take(kPanel * cut.row);
    q.take(cut.queries * cut.row);
    out.take(cut.queries * cut.row);
    biases.take(cut.queries * cut.table_row + kPanel);
    scores.take(kRows * cut.score_row);
    running.take(cut.queries);
  }
};

// Queries first .. first + count - 1 of a head whose keys and values are in `w`.
void block(const Problem& p, const Cut& cut, const Tables& tables, const Workspace& w, std::int64_t first,
           std::int64_t count) {
  float *q = w.q.get(), *out = w.out.get(), *biases = w.biases.get();
  const std::int64_t groups = (count + kRows - 1) / kRows;
  for (std::int64_t i = 0; i < groups * kRows; i += kRows)
    biases_of(p, cut, tables, q + i * cut.row, first + i, count - i, biases + i * cut.table_row);
  for (std::int64_t key = 0; key < cut.tokens; key += cut.keys)
    for (std::int64_t i = 0; i < groups * kRows; i += kRows) {
      Group group = group_of(p, cut, first + i, count - i, biases + i * cut.table_row, w.scores.get());
      group.first = key;
      group.count = std::min(cut.keys, cut.tokens - key);
      scores_of(cut, group, q + i * cut.row, w.keys.get());
      row_kernels().softmax(group, w.running.get() + i, out + i * cut.row, cut.row, cut.row);
      tile_kernels().product({group.scores, cut.score_row, 1, w.values.get() + key * cut.row, cut.row, group.count,
                              out + i * cut.row, cut.row, cut.row, key > 0});
    }
}

}  // namespace

void check_problem(const Problem& p) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24;
  check(p.height >= 1 && p.width >= 1 && p.height <= kMost && p.width <= kMost && p.tokens() <= kMost,
        "relpos_attention: height and width must be at least 1, of at most 2^24 pixels, got ", p.height, " x ",
        p.width);
  check(p.channels >= 1 && p.channels <= 65536, "relpos_attention: q must have 1 .. 65536 channels a head, got ",
        p.channels);
  check(p.scale - p.scale == 0, "relpos_attention: scale must be finite, got ", p.scale);
}

void forward(const Problem& p, const View& out, void* norms, const Executor& executor) {
  check_problem(p);
  if (p.type == Float::f64) return forward_double(p, out, static_cast<double*>(norms), executor);
  const Cut cut(p, kQueries);
  const std::int64_t blocks = cut.query_blocks();
  if (p.batch == 0 || p.heads == 0) return;
  Tables tables;
  tables.make(p, cut, false);
  executor.run(p.batch * p.heads * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    const Workspace w(cut);
    const RowKernels& rows = row_kernels();
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t head = task / blocks, b = head / p.heads, h = head % p.heads;
      if (task == begin || task % blocks == 0) {
        read_panels(p, cut, p.k, b, h, static_cast<float>(p.scale), w.keys.get(), w.spare.get(), nullptr);
        rows.read(p.v.at(p.type, b, h), p.type, p.v.token, p.v.channel, cut.tokens, cut.channels, 1.0f, w.values.get(),
                  cut.row);
      }
      const std::int64_t first = task % blocks * cut.queries, count = std::min(cut.queries, cut.tokens - first);
      if (count <= 0) continue;  // rounding up to whole groups may leave nothing for the last one
      std::fill(w.q.get() + count * cut.row, w.q.get() + rounded(count, kRows) * cut.row, 0.0f);
      rows.read(p.q.at(p.type, b, h, first), p.type, p.q.token, p.q.channel, count, cut.channels, 1.0f, w.q.get(),
                cut.row);
      block(p, cut, tables, w, first, count);
      const Running* running = w.running.get();
      Norm* to = static_cast<Norm*>(norms) + head * cut.tokens + first;
      for (std::int64_t i = 0; i < count; ++i) {
        to[i] = {running[i].most, 1.0f / running[i].sum};
        rows.write(w.out.get() + i * cut.row, cut.row, 1, cut.channels, to[i].factor, out.at(p.type, b, h, first + i),
                   p.type, out.token, out.channel);
      }
    }
  });
}

}  // namespace pyseg::relpos_attention
