// float64, by the definition: one row of scores at a time. For checks of gradients, and for whoever needs the digits.
#include <cmath>

#include "core/workspace.h"
#include "relpos_attention/relpos_attention.h"

namespace pyseg::relpos_attention {

namespace {

// One head, and a query of it.
struct Head {
  const Problem& p;
  std::int64_t b, h;

  double* row(const View& view, std::int64_t i) const { return static_cast<double*>(view.at(Float::f64, b, h, i)); }
  const double* table(const void* data, std::int64_t t) const {
    return static_cast<const double*>(data) + t * p.channels;
  }
  double dot(const double* a, std::int64_t a_step, const double* c, std::int64_t c_step) const {
    double sum = 0;
    for (std::int64_t i = 0; i < p.channels; ++i) sum += a[i * a_step] * c[i * c_step];
    return sum;
  }
  // Scores of query i with all keys. `biases`: height + width values.
  void scores(std::int64_t i, double* scores, double* biases) const {
    const double* q = row(p.q, i);
    for (std::int64_t y = 0; y < p.height; ++y)
      biases[y] = dot(q, p.q.channel, table(p.rel_h, i / p.width - y + p.height - 1), 1);
    for (std::int64_t x = 0; x < p.width; ++x)
      biases[p.height + x] = dot(q, p.q.channel, table(p.rel_w, i % p.width - x + p.width - 1), 1);
    for (std::int64_t j = 0; j < p.tokens(); ++j)
      scores[j] = p.scale * dot(q, p.q.channel, row(p.k, j), p.k.channel) + biases[j / p.width] +
                  biases[p.height + j % p.width];
  }
};

void add(double* to, std::int64_t to_step, double factor, const double* from, std::int64_t from_step,
         std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) to[c * to_step] += factor * from[c * from_step];
}

void zero(double* to, std::int64_t step, std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) to[c * step] = 0;
}

void forward_query(const Head& head, std::int64_t i, const View& out, double* norm, double* scores, double* biases) {
  const Problem& p = head.p;
  head.scores(i, scores, biases);
  double most = scores[0], sum = 0;
  for (std::int64_t j = 1; j < p.tokens(); ++j) most = scores[j] > most ? scores[j] : most;
  double* to = head.row(out, i);
  zero(to, out.channel, p.channels);
  for (std::int64_t j = 0; j < p.tokens(); ++j) {
    const double e = std::exp(scores[j] - most);
    sum += e;
    add(to, out.channel, e, head.row(p.v, j), p.v.channel, p.channels);
  }
  for (std::int64_t c = 0; c < p.channels; ++c) to[c * out.channel] /= sum;
  norm[0] = most;
  norm[1] = 1 / sum;
}

// What query i gives to all gradients. rel_h, rel_w: sums of this task.
void backward_query(const Head& head, std::int64_t i, const View& out, const double* norm, const View& grad,
                    const Gradients& to, double* rel_h, double* rel_w, double* scores, double* biases) {
  const Problem& p = head.p;
  head.scores(i, scores, biases);
  const double *q = head.row(p.q, i), *g = head.row(grad, i);
  double* of_q = head.row(to.q, i);
  const double delta = head.dot(g, grad.channel, head.row(out, i), out.channel);
  zero(biases, 1, p.height + p.width);
  for (std::int64_t j = 0; j < p.tokens(); ++j) {
    const double probability = std::exp(scores[j] - norm[0]) * norm[1];
    const double e = probability * (head.dot(g, grad.channel, head.row(p.v, j), p.v.channel) - delta);
    add(head.row(to.v, j), to.v.channel, probability, g, grad.channel, p.channels);
    add(head.row(to.k, j), to.k.channel, p.scale * e, q, p.q.channel, p.channels);
    add(of_q, to.q.channel, p.scale * e, head.row(p.k, j), p.k.channel, p.channels);
    biases[j / p.width] += e;
    biases[p.height + j % p.width] += e;
  }
  for (std::int64_t y = 0; y < p.height; ++y) {
    const std::int64_t t = i / p.width - y + p.height - 1;
    add(of_q, to.q.channel, biases[y], head.table(p.rel_h, t), 1, p.channels);
    add(rel_h + t * p.channels, 1, biases[y], q, p.q.channel, p.channels);
  }
  for (std::int64_t x = 0; x < p.width; ++x) {
    const std::int64_t t = i % p.width - x + p.width - 1;
    add(of_q, to.q.channel, biases[p.height + x], head.table(p.rel_w, t), 1, p.channels);
    add(rel_w + t * p.channels, 1, biases[p.height + x], q, p.q.channel, p.channels);
  }
}

void sum_parts(const double* parts, std::int64_t tasks, std::int64_t size, std::int64_t count, double* to) {
  zero(to, 1, count);
  for (std::int64_t task = 0; task < tasks; ++task) add(to, 1, 1.0, parts + task * size, 1, count);
}

}  // namespace

void forward_double(const Problem& p, const View& out, double* norms, const Executor& executor) {
  executor.run(p.batch * p.heads * p.tokens(), 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch<double> scores, biases;
    scores.take(p.tokens());
    biases.take(p.height + p.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t head = row / p.tokens();
      forward_query({p, head / p.heads, head % p.heads}, row % p.tokens(), out, norms + 2 * row, scores.get(),
                    biases.get());
    }
  });
}

void backward_double(const Problem& p, const View& out, const double* norms, const View& grad, const Gradients& to,
                     const Executor& executor) {
  const std::int64_t heads = p.batch * p.heads, tasks = heads < kTasks ? heads : kTasks;
  const std::int64_t rows = (2 * p.height - 1) * p.channels, columns = (2 * p.width - 1) * p.channels;
  Scratch<double> parts;
  zero(parts.take(tasks * (rows + columns)), 1, tasks * (rows + columns));
  executor.run(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch<double> scores, biases;
    scores.take(p.tokens());
    biases.take(p.height + p.width);
    for (std::int64_t task = begin; task < end; ++task) {
      double* rel_h = parts.get() + task * (rows + columns);
      for (std::int64_t at = task * heads / tasks; at < (task + 1) * heads / tasks; ++at) {
        const Head head{p, at / p.heads, at % p.heads};
        for (const View* view : {&to.q, &to.k, &to.v})
          for (std::int64_t i = 0; i < p.tokens(); ++i) zero(head.row(*view, i), view->channel, p.channels);
        for (std::int64_t i = 0; i < p.tokens(); ++i)
          backward_query(head, i, out, norms + 2 * (at * p.tokens() + i), grad, to, rel_h, rel_h + rows, scores.get(),
                         biases.get());
      }
    }
  });
  sum_parts(parts.get(), tasks, rows + columns, rows, static_cast<double*>(to.rel_h));
  sum_parts(parts.get() + rows, tasks, rows + columns, columns, static_cast<double*>(to.rel_w));
}

}  // namespace pyseg::relpos_attention
