// The backward loops: some heads are a task, as forward. Each key is in one chunk and its gradient is complete when the
// chunk is done: no atomics, and the same sums for any number of threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/workspace.h"
#include "masked_attention/kernels.h"
#include "masked_attention/masks.h"

namespace pyseg::masked_attention {
namespace {

constexpr std::int64_t kQueries = 256;  // at a time: their slots, 128 KB at dim 32, stay in the second level cache

struct Space {
  Scratch<float> keys, values, plain, q, grad, delta, of_q, of_k, of_v, slots;
  Scratch<Entry> entries;
  Scratch<std::uint16_t> tiles;
  Scratch<std::int32_t> order;
};

Space& space() {
  static thread_local Space mine;
  return mine;
}

// Heads [head, head + heads) of one image.
struct Task {
  const Problem<float>& p;
  const Gradients<float>& g;
  const Masks& masks;
  std::int64_t b, head, heads, padded;

  void run() const {
    Space& s = space();
    const std::int64_t n = p.queries, size = kTiles * kKeys * padded, rows = heads * n;
    const std::int64_t block = std::min(n, kQueries);
    float *keys = s.keys.take(size), *values = s.values.take(size), *plain = s.plain.take(size);
    float *q = s.q.take(rows * padded), *grad = s.grad.take(rows * padded), *delta = s.delta.take(rows);
    float* of_q = s.of_q.take(rows * padded);
    std::fill_n(of_q, rows * padded, 0.0f);
    Active active{tiles_together(padded), s.tiles.take(block), s.order.take(kTiles * block), {}};
    GradientChunk chunk{};
    chunk.keys = keys;
    chunk.values = values;
    chunk.plain_keys = plain;
    chunk.dim = padded;
    chunk.active = &active;
    chunk.of_k = s.of_k.take(size);
    chunk.of_v = s.of_v.take(size);
    chunk.slots = s.slots.take(block * active.together * 2 * kKeys);
    chunk.entries = s.entries.take(block * kTiles);
    chunk.length = p.dim;
    bool finite = true;
    for (std::int64_t h = 0; h < heads; ++h)
      finite = queries(head + h, q + h * n * padded, grad + h * n * padded, delta + h * n) && finite;
    std::vector<const float*> ahead;
    for (std::int64_t c = 0; c < p.layout.chunks(); ++c) {
      chunk.at = c * kTiles;
      unsigned tiles = 0;
      for (std::int64_t first = 0; first < n; first += block)
        tiles |= kernels().active(masks.of(b, first), std::min(block, n - first), chunk.at, active);
      for (std::int64_t h = 0; h < heads; ++h) {
        chunk.careful = !pack(c, tiles, head + h, keys, values, plain) || !finite;
        next_rows(p, b, c, tiles, head, heads, h, ahead);
        chunk.ahead = ahead.data();
        chunk.ahead_count = static_cast<std::int64_t>(ahead.size());
        for (std::int64_t first = 0; tiles != 0 && first < n; first += block) {
          const std::int64_t at = h * n + first;
          chunk.queries = std::min(block, n - first);
          chunk.bits = masks.of(b, first);
          if (n > block) kernels().active(chunk.bits, chunk.queries, chunk.at, active);
          chunk.q = q + at * padded;
          chunk.grad = grad + at * padded;
          chunk.lse = g.lse + (b * p.heads + head) * n + at;
          chunk.delta = delta + at;
          chunk.of_q = of_q + at * padded;
          chunk.accumulate = first > 0;
          gradient_kernels().backward(chunk);
        }
        unpack(c, tiles, head + h, chunk);
      }
    }
    const float scale = factor();
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t d = 0; d < p.dim; ++d)
          g.q[((b * n + i) * p.heads + head + h) * p.dim + d] = of_q[(h * n + i) * padded + d] * scale;
  }

  float factor() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.dim))); }

  // Rows of queries and gradients, and delta = sum of grad * out. -> whether all of it is finite.
  bool queries(std::int64_t h, float* q, float* grad, float* delta) const {
    const float scale = factor();
    float strange = 0.0f;
    for (std::int64_t i = 0; i < p.queries; ++i) {
      const float *from = p.q.at(b, i) + h * p.dim, *of = g.grad.at(b, i) + h * p.dim;
      const float* out = g.out.at(b, i) + h * p.dim;
      float sum = 0.0f;
      for (std::int64_t d = 0; d < padded; ++d) {
        const bool in = d < p.dim;
        q[i * padded + d] = in ? from[d] * scale : 0.0f;
        grad[i * padded + d] = in ? of[d] : 0.0f;
        if (in) sum += of[d] * out[d];
        strange += (q[i * padded + d] - q[i * padded + d]) + (grad[i * padded + d] - grad[i * padded + d]);
      }
      delta[i] = sum;
      strange += sum - sum;
    }
    return strange == 0.0f;
  }

  bool pack(std::int64_t c, unsigned tiles, std::int64_t h, float* keys, float* values, float* plain) const {
    bool finite = true;
    for (int t = 0; t < kTiles; ++t) {
      if ((tiles >> t & 1) == 0) continue;
      const float *k[kKeys], *v[kKeys];
      for (int l = 0; l < kKeys; ++l) {
        const std::int64_t key = p.layout.key(c, t, l);
        k[l] = key < 0 ? nullptr : p.k.at(b, key) + h * p.dim;
        v[l] = key < 0 ? nullptr : p.v.at(b, key) + h * p.dim;
      }
      const std::int64_t at = t * kKeys * padded;
      finite = kernels().pack(k, p.dim, padded, keys + at, plain + at) && finite;
      kernels().pack(v, p.dim, padded, values + at, nullptr);
    }
    return finite;
  }

  void unpack(std::int64_t c, unsigned tiles, std::int64_t h, const GradientChunk& chunk) const {
    for (int t = 0; t < kTiles; ++t) {
      const bool any = (tiles >> t & 1) != 0;
      for (int l = 0; l < kKeys; ++l) {
        const std::int64_t key = p.layout.key(c, t, l), from = (t * kKeys + l) * padded;
        if (key < 0) continue;
        const std::int64_t to = ((b * p.layout.keys() + key) * p.heads + h) * p.dim;
        if (any) {
          std::copy_n(chunk.of_k + from, p.dim, g.k + to);
          std::copy_n(chunk.of_v + from, p.dim, g.v + to);
        } else {
          std::fill_n(g.k + to, p.dim, 0.0f);
          std::fill_n(g.v + to, p.dim, 0.0f);
        }
      }
    }
  }
};

}  // namespace

void backward(const Problem<float>& p, const Gradients<float>& g, const Executor& executor) {
  const std::int64_t width = p.heads * p.dim;
  if (p.batch * width == 0) return;
  if (p.queries == 0 || p.layout.chunks() == 0) {
    std::fill_n(g.q, p.batch * p.queries * width, 0.0f);
    std::fill_n(g.k, p.batch * p.layout.keys() * width, 0.0f);
    std::fill_n(g.v, p.batch * p.layout.keys() * width, 0.0f);
    return;
  }
  const Masks masks(p);
  const std::int64_t padded = (p.dim + 15) / 16 * 16;
  const std::int64_t groups = std::clamp<std::int64_t>((executor.threads() + p.batch - 1) / p.batch, 1, p.heads);
  const std::int64_t heads = (p.heads + groups - 1) / groups;
  executor.queue(p.batch * groups, [&](std::int64_t i) {
    const std::int64_t head = i % groups * heads, some = std::min(heads, p.heads - head);
    if (some > 0) Task{p, g, masks, i / groups, head, some, padded}.run();
  });
}

}  // namespace pyseg::masked_attention
