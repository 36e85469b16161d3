// The forward loops: heads are tasks, chunks of keys go by once, and wait packed for all queries.
//
// Where there are more threads than heads, queries are split too: a query's result depends on its own mask alone.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/workspace.h"
#include "masked_attention/kernels.h"
#include "masked_attention/masks.h"

namespace pyseg::masked_attention {
namespace {

struct Space {
  Scratch<float> keys, values, q, sum, weight, most;
};

Space& space() {
  static thread_local Space mine;
  return mine;
}

// One head of one image, queries [first, first + count).
struct Task {
  const Problem<float>& p;
  const Masks& masks;
  std::int64_t b, head, first, count, padded;
  float *out, *lse;

  void run() const {
    Space& s = space();
    float* keys = s.keys.take(kTiles * kKeys * padded);
    float* values = s.values.take(kTiles * kKeys * padded);
    Chunk chunk{keys,
                values,
                padded,
                count,
                masks.of(b, first),
                0,
                s.q.take(count * padded),
                s.sum.take(count * padded),
                s.weight.take(count * kKeys),
                s.most.take(count),
                false};
    std::fill_n(chunk.sum, count * padded, 0.0f);
    std::fill_n(chunk.weight, count * kKeys, 0.0f);
    std::fill_n(chunk.most, count, -std::numeric_limits<float>::infinity());
    scale_queries(s.q.get());
    for (std::int64_t c = 0; c < p.layout.chunks(); ++c) {
      chunk.at = c * kTiles;
      const unsigned tiles = kernels().active(chunk.bits, count, chunk.at);
      if (tiles == 0) continue;
      chunk.careful = !pack(c, tiles, keys, values);
      kernels().forward(chunk);
    }
    finish(chunk);
  }

  void scale_queries(float* q) const {
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.dim)));
    for (std::int64_t i = 0; i < count; ++i) {
      const float* from = p.q.at(b, first + i) + head * p.dim;
      for (std::int64_t d = 0; d < padded; ++d) q[i * padded + d] = d < p.dim ? from[d] * scale : 0.0f;
    }
  }

  // Whether all values are finite.
  bool pack(std::int64_t c, unsigned tiles, float* keys, float* values) const {
    bool finite = true;
    for (int t = 0; t < kTiles; ++t) {
      if ((tiles >> t & 1) == 0) continue;
      const float *k[kKeys], *v[kKeys];
      for (int l = 0; l < kKeys; ++l) {
        const std::int64_t key = p.layout.key(c, t, l);
        k[l] = key < 0 ? nullptr : p.k.at(b, key) + head * p.dim;
        v[l] = key < 0 ? nullptr : p.v.at(b, key) + head * p.dim;
      }
      kernels().pack(k, p.dim, padded, keys + t * kKeys * padded, nullptr);  // scores are masked: any value will do
      finite = kernels().pack(v, p.dim, padded, nullptr, values + t * kKeys * padded) && finite;
    }
    return finite;
  }

  void finish(const Chunk& chunk) const {
    for (std::int64_t i = 0; i < count; ++i) {
      float total = 0.0f;
      for (int l = 0; l < kKeys; ++l) total += chunk.weight[i * kKeys + l];
      const bool none = empty(i);
      const float inverse = none ? 0.0f : 1.0f / total;
      float* to = out + ((b * p.queries + first + i) * p.heads + head) * p.dim;
      for (std::int64_t d = 0; d < p.dim; ++d) to[d] = chunk.sum[i * chunk.dim + d] * inverse;
      if (lse != nullptr)
        lse[(b * p.heads + head) * p.queries + first + i] =
            none ? -std::numeric_limits<float>::infinity() : chunk.most[i] + std::log(total);
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
    if (lse != nullptr) std::fill_n(lse, p.batch * p.heads * p.queries, -std::numeric_limits<float>::infinity());
    return;
  }
  const Masks masks(p);
  const std::int64_t heads = p.batch * p.heads, padded = (p.dim + 15) / 16 * 16;
  const std::int64_t parts =
      std::clamp<std::int64_t>((executor.threads() + heads - 1) / heads, 1, std::max<std::int64_t>(p.queries / 16, 1));
  const std::int64_t step = (p.queries + parts - 1) / parts;
  executor.queue(heads * parts, [&](std::int64_t i) {
    const std::int64_t first = i % parts * step, count = std::min(step, p.queries - first);
    if (count <= 0) return;
    Task{p, masks, i / parts / p.heads, i / parts % p.heads, first, count, padded, out, lse}.run();
  });
}

}  // namespace pyseg::masked_attention
