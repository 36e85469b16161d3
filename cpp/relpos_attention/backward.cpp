// The backward pass, of one head at a time: scores are computed anew, and with the saved maxima and sums they are
// probabilities at once. With p = exp(score - lse), delta = grad out, and e = p (grad v - delta):
//
//   dv = p^T grad,  dk = scale e^T q,  dq = scale e k + (sums of e over rows and columns of keys) tables,
//   d tables = (those sums)^T q
//
// For a block of queries, over blocks of keys: six queries at a time the two tiles of scores and of grad v, e, and
// their part of dq; then, six keys at a time, their part of dk and dv, whose products run over all queries of the
// block. p and e of a pair of blocks (220 KB) stay in the second level cache. All five products are bound by
// multiply-adds.
#include "relpos_attention/blocks.h"

namespace pyseg::relpos_attention {

namespace {

struct Workspace {
  Scratch<float> key_panels, value_panels, keys, spare, q, grad, grad_q, grad_k, grad_v;
  Scratch<float> biases, bias_grads, p, e, delta;
  Scratch<Norm> norms;

  explicit Workspace(const Cut& cut) {
    key_panels.take(cut.panels() * kPanel * cut.channels);
    value_panels.take(cut.panels() * kPanel * cut.channels);
    keys.take(cut.tokens * cut.row);
    spare.take(kPanel * cut.row);
    for (Scratch<float>* rows : {&q, &grad, &grad_q}) rows->take(cut.queries * cut.row);
    for (Scratch<float>* rows : {&grad_k, &grad_v}) rows->take((cut.tokens + kRows) * cut.row);
    biases.take(cut.queries * cut.table_row + kPanel);
    bias_grads.take(cut.queries * cut.table_row + kPanel);
    for (Scratch<float>* rows : {&p, &e}) rows->take(cut.queries * cut.score_row);
    norms.take(cut.queries);
    delta.take(cut.queries);
  }
};

// A whole pass: what is the same for all heads.
struct Pass {
  const Problem& p;
  const Cut& cut;
  const Tables& tables;
  const View& out;
  const Norm* norms;
  const View& grad;
  const Gradients& to;

  void read(const View& view, std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t count,
            float* rows) const {
    row_kernels().read(view.at(p.type, b, h, first), p.type, view.token, view.channel, count, cut.channels, 1.0f, rows,
                       cut.row);
  }
  void write(const float* rows, std::int64_t count, float scale, const View& view, std::int64_t b, std::int64_t h,
             std::int64_t first) const {
    row_kernels().write(rows, cut.row, count, cut.channels, scale, view.at(p.type, b, h, first), p.type, view.token,
                        view.channel);
  }
  void load_queries(const Workspace& w, std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t count) const;
  void keys_of(const Workspace& w, std::int64_t first, std::int64_t count, std::int64_t key) const;
  void block(const Workspace& w, std::int64_t first, std::int64_t count, float* tables_to) const;
  void head(const Workspace& w, std::int64_t index, float* tables_to) const;
};

void Pass::load_queries(const Workspace& w, std::int64_t b, std::int64_t h, std::int64_t first,
                        std::int64_t count) const {
  read(p.q, b, h, first, count, w.q.get());
  read(grad, b, h, first, count, w.grad.get());
  const std::int64_t padded = rounded(count, kRows);
  for (float* rows : {w.q.get(), w.grad.get()}) std::fill(rows + count * cut.row, rows + padded * cut.row, 0.0f);
  std::fill(w.norms.get() + count, w.norms.get() + padded, Norm{});
  std::fill(w.delta.get() + count, w.delta.get() + padded, 0.0f);
  const Norm* saved = norms + (b * p.heads + h) * cut.tokens + first;
  std::copy(saved, saved + count, w.norms.get());
  for (std::int64_t i = 0; i < count; i += kPanel) {
    const std::int64_t rows = std::min<std::int64_t>(kPanel, count - i);
    read(out, b, h, first + i, rows, w.spare.get());
    for (std::int64_t r = 0; r < rows; ++r)
      w.delta.get()[i + r] = row_kernels().dot(w.spare.get() + r * cut.row, w.grad.get() + (i + r) * cut.row, cut.row);
  }
}

// One block of queries with the block of keys from `key` on.
void Pass::keys_of(const Workspace& w, std::int64_t first, std::int64_t count, std::int64_t key) const {
  const RowKernels& rows = row_kernels();
  const TileKernels& tiles = tile_kernels();
  const std::int64_t keys = std::min(cut.keys, cut.tokens - key);
  for (std::int64_t i = 0; i < count; i += kRows) {
    float *p_rows = w.p.get() + i * cut.score_row, *e_rows = w.e.get() + i * cut.score_row;
    Group group = group_of(p, cut, first + i, count - i, w.biases.get() + i * cut.table_row, p_rows);
    group.first = key;
    group.count = keys;
    scores_of(cut, group, w.q.get() + i * cut.row, w.key_panels.get());
    by_panels(cut, key, keys, w.grad.get() + i * cut.row, w.value_panels.get(), e_rows, false);
    rows.gradient(group, w.norms.get() + i, w.delta.get() + i, e_rows);
    Group sums = group_of(p, cut, first + i, count - i, w.bias_grads.get() + i * cut.table_row, e_rows);
    sums.first = key;
    sums.count = keys;
    rows.bias_gradient(sums, e_rows, static_cast<int>(std::min<std::int64_t>(kRows, count - i)));
    tiles.product({e_rows, cut.score_row, 1, w.keys.get() + key * cut.row, cut.row, keys, w.grad_q.get() + i * cut.row,
                   cut.row, cut.row, key > 0});
  }
  for (std::int64_t j = 0; j < keys; j += kRows) {
    const std::int64_t at = (key + j) * cut.row;
    tiles.product({w.p.get() + j, 1, cut.score_row, w.grad.get(), cut.row, count, w.grad_v.get() + at, cut.row, cut.row,
                   first > 0});
    tiles.product(
        {w.e.get() + j, 1, cut.score_row, w.q.get(), cut.row, count, w.grad_k.get() + at, cut.row, cut.row, first > 0});
  }
}

void Pass::block(const Workspace& w, std::int64_t first, std::int64_t count, float* tables_to) const {
  const TileKernels& tiles = tile_kernels();
  float* sums = w.bias_grads.get();
  std::fill(sums, sums + rounded(count, kRows) * cut.table_row + kPanel, 0.0f);
  for (std::int64_t i = 0; i < count; i += kRows)
    biases_of(p, cut, tables, w.q.get() + i * cut.row, first + i, count - i, w.biases.get() + i * cut.table_row);
  for (std::int64_t key = 0; key < cut.tokens; key += cut.keys) keys_of(w, first, count, key);
  for (std::int64_t i = 0; i < count; i += kRows)
    tiles.product({sums + i * cut.table_row, cut.table_row, 1, tables.rows.get(), cut.row, cut.table_row,
                   w.grad_q.get() + i * cut.row, cut.row, cut.row, true});
  const auto of_table = [&](std::int64_t column, std::int64_t length) {
    for (std::int64_t t = 0; t < length; t += kRows)
      tiles.product({sums + column + t, 1, cut.table_row, w.q.get(), cut.row, count, tables_to + (column + t) * cut.row,
                     cut.row, cut.row, true});
  };
  of_table(0, 2 * p.height - 1);
  of_table(cut.of_y, 2 * p.width - 1);
}

void Pass::head(const Workspace& w, std::int64_t index, float* tables_to) const {
  const std::int64_t b = index / p.heads, h = index % p.heads;
  const float scale = static_cast<float>(p.scale);
  read_panels(p, cut, p.k, b, h, scale, w.key_panels.get(), nullptr, w.keys.get());
  read_panels(p, cut, p.v, b, h, 1.0f, w.value_panels.get(), w.spare.get(), nullptr);
  for (std::int64_t first = 0; first < cut.tokens; first += cut.queries) {
    const std::int64_t count = std::min(cut.queries, cut.tokens - first);
    load_queries(w, b, h, first, count);
    block(w, first, count, tables_to);
    write(w.grad_q.get(), count, 1.0f, to.q, b, h, first);
  }
  write(w.grad_k.get(), cut.tokens, scale, to.k, b, h, 0);
  write(w.grad_v.get(), cut.tokens, 1.0f, to.v, b, h, 0);
}

// Sums over the tasks, in order, and the order of the table turned back.
void reduce(const float* parts, std::int64_t tasks, const Cut& cut, std::int64_t column, std::int64_t length,
            float* to) {
  for (std::int64_t t = 0; t < length; ++t)
    for (std::int64_t c = 0; c < cut.channels; ++c) {
      float sum = 0.0f;
      for (std::int64_t task = 0; task < tasks; ++task) sum += parts[(task * cut.table_row + column + t) * cut.row + c];
      to[(length - 1 - t) * cut.channels + c] = sum;
    }
}

}  // namespace

void backward(const Problem& p, const View& out, const void* norms, const View& grad, const Gradients& to,
              const Executor& executor) {
  check_problem(p);
  if (p.type == Float::f64) return backward_double(p, out, static_cast<const double*>(norms), grad, to, executor);
  const Cut cut(p, p.tokens() <= 204 ? 204 : 132);
  Tables tables;
  tables.make(p, cut, true);
  const std::int64_t heads = p.batch * p.heads, tasks = std::min(heads, kTasks), size = cut.table_row * cut.row;
  Scratch<float> parts;
  std::fill_n(parts.take(tasks * size), tasks * size, 0.0f);
  const Pass pass{p, cut, tables, out, static_cast<const Norm*>(norms), grad, to};
  executor.run(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    const Workspace w(cut);
    for (std::int64_t task = begin; task < end; ++task)
      for (std::int64_t head = task * heads / tasks; head < (task + 1) * heads / tasks; ++head)
        pass.head(w, head, parts.get() + task * size);
  });
  reduce(parts.get(), tasks, cut, 0, 2 * p.height - 1, static_cast<float*>(to.rel_h));
  reduce(parts.get(), tasks, cut, cut.of_y, 2 * p.width - 1, static_cast<float*>(to.rel_w));
}

}  // namespace pyseg::relpos_attention
