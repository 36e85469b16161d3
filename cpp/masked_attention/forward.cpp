// The forward loops: chunks of keys go by once; a chunk's keys and values of one head wait packed for all queries.
//
// A thread takes several heads through a chunk together: rows of keys are then read whole, and memory is asked for the
// next head's part of them while this one's is at work. Where there are more threads than heads, queries are split too:
// a query's result depends on its own mask alone.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/workspace.h"
#include "masked_attention/kernels.h"
#include "masked_attention/masks.h"

namespace pyseg::masked_attention {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

struct Space {
  Scratch<float> keys, values, q, sum, weight, most;
  Scratch<std::uint16_t> tiles;
  Scratch<std::int32_t> order;
};

Space& space() {
  static thread_local Space mine;
  return mine;
}

// Heads [head, head + heads) of one image, queries [first, first + count).
struct Task {
  const Problem<float>& p;
  const Masks& masks;
  std::int64_t b, head, heads, first, count, padded;
  float *out, *lse;

  void run() const {
    Space& s = space();
    const std::int64_t rows = heads * count;
    float *q = s.q.take(rows * padded), *sum = s.sum.take(rows * padded);
    float *weight = s.weight.take(rows * kKeys), *most = s.most.take(rows);
    std::fill_n(sum, rows * padded, 0.0f);
    std::fill_n(weight, rows * kKeys, 0.0f);
    std::fill_n(most, rows, kNone);
    scale_queries(q);
    float* keys = s.keys.take(kTiles * kKeys * padded);
    float* values = s.values.take(kTiles * kKeys * padded);
    Active active{tiles_together(padded), s.tiles.take(count), s.order.take(kTiles * count), {}};
    std::vector<const float*> ahead;
    for (std::int64_t c = 0; c < p.layout.chunks(); ++c) {
      const unsigned tiles = kernels().active(masks.of(b, first), count, c * kTiles, active);
      if (tiles == 0) continue;
      for (std::int64_t h = 0; h < heads; ++h) {
        const bool finite = pack(c, tiles, head + h, keys, values);
        next_rows(p, b, c, tiles, head, heads, h, ahead);
        kernels().forward({keys, values, padded, count, masks.of(b, first), c * kTiles, &active, q + h * count * padded,
                           sum + h * count * padded, weight + h * count * kKeys, most + h * count, !finite,
                           ahead.data(), static_cast<std::int64_t>(ahead.size()), p.dim});
      }
    }
    for (std::int64_t h = 0; h < heads; ++h)
      finish(head + h, sum + h * count * padded, weight + h * count * kKeys, most + h * count);
  }

  void scale_queries(float* q) const {
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.dim)));
    for (std::int64_t h = head; h < head + heads; ++h) {
      for (std::int64_t i = 0; i < count; ++i, q += padded) {
        const float* from = p.q.at(b, first + i) + h * p.dim;
        for (std::int64_t d = 0; d < padded; ++d) q[d] = d < p.dim ? from[d] * scale : 0.0f;
      }
    }
  }

  // Whether all values are finite.
  bool pack(std::int64_t c, unsigned tiles, std::int64_t h, float* keys, float* values) const {
    bool finite = true;
    for (int t = 0; t < kTiles; ++t) {
      if ((tiles >> t & 1) == 0) continue;
      const float *k[kKeys], *v[kKeys];
      for (int l = 0; l < kKeys; ++l) {
        const std::int64_t key = p.layout.key(c, t, l);
        k[l] = key < 0 ? nullptr : p.k.at(b, key) + h * p.dim;
        v[l] = key < 0 ? nullptr : p.v.at(b, key) + h * p.dim;
      }
      kernels().pack(k, p.dim, padded, keys + t * kKeys * padded, nullptr);  // scores are masked: any value will do
      finite = kernels().pack(v, p.dim, padded, nullptr, values + t * kKeys * padded) && finite;
    }
    return finite;
  }

  void finish(std::int64_t h, const float* sum, const float* weight, const float* most) const {
    for (std::int64_t i = 0; i < count; ++i) {
      float total = 0.0f;
      for (int l = 0; l < kKeys; ++l) total += weight[i * kKeys + l];
      const bool none = empty(i);
      const float inverse = none ? 0.0f : 1.0f / total;
      float* to = out + ((b * p.queries + first + i) * p.heads + h) * p.dim;
      for (std::int64_t d = 0; d < p.dim; ++d) to[d] = sum[i * padded + d] * inverse;
      if (lse != nullptr) lse[(b * p.heads + h) * p.queries + first + i] = none ? kNone : most[i] + std::log(total);
    }
  }

  bool empty(std::int64_t i) const {
    const std::uint16_t* row = masks.of(b, first)[i];
    return !p.empty_all &&
           std::none_of(row, row + p.layout.chunks() * kTiles, [](std::uint16_t tile) { return tile != 0; });
  }
};

}  // namespace

void forward(const Problem<float>& p, float* out, float* lse, const Executor& executor) {
  if (p.batch * p.heads * p.queries * p.dim == 0) return;
  if (p.layout.chunks() == 0) {  // no keys: an empty sum
    std::fill_n(out, p.batch * p.heads * p.queries * p.dim, 0.0f);
    if (lse != nullptr) std::fill_n(lse, p.batch * p.heads * p.queries, kNone);
    return;
  }
  const Masks masks(p);
  const std::int64_t threads = executor.threads(), padded = (p.dim + 15) / 16 * 16;
  const std::int64_t groups = std::clamp<std::int64_t>((threads + p.batch - 1) / p.batch, 1, p.heads);
  const std::int64_t heads = (p.heads + groups - 1) / groups, tasks = p.batch * groups;
  const std::int64_t parts =
      std::clamp<std::int64_t>((threads + tasks - 1) / tasks, 1, std::max<std::int64_t>(p.queries / 16, 1));
  const std::int64_t step = (p.queries + parts - 1) / parts;
  executor.queue(tasks * parts, [&](std::int64_t i) {
    const std::int64_t first = i % parts * step, count = std::min(step, p.queries - first);
    const std::int64_t head = i / parts % groups * heads, some = std::min(heads, p.heads - head);
    if (count > 0 && some > 0) Task{p, masks, i / parts / groups, head, some, first, count, padded, out, lse}.run();
  });
}

}  // namespace pyseg::masked_attention
