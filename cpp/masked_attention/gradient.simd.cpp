// The backward inner loops: one chunk of 256 keys of one head against every query, in two phases.
//
// By query: scores again, p = exp(score - lse) from the saved log of sums, the score's gradient s = p (grad v - delta),
// and the query's gradient s k; p and s go to slots. By tile: its keys' gradients are sums over the queries that have
// it, s q and p grad, with 4 keys x 32 columns of both in registers: a sum is stored once, where a query at a time
// would load and store it for every pair of query and key. Sums run over queries in order. What bounds it are
// multiply-adds.
#include "core/vectors.h"
#include "masked_attention/kernels.h"
#include "masked_attention/lanes.h"

namespace pyseg::masked_attention::PYSEG_ISA {
namespace {

constexpr int kBlocks = kParts == 1 ? 2 : 1;    // columns of a block of sums, in 16s
constexpr int kTogether = kParts == 1 ? 4 : 2;  // keys of it

// Phase 1, of a group.
template <bool Careful>
void by_query(const GradientChunk& chunk, int group, Ahead& ahead, std::int32_t (&lengths)[kTiles]) {
  const Active& active = *chunk.active;
  const unsigned set = ((1u << active.together) - 1) << (group * active.together);
  std::int32_t used = 0;
  for (std::int32_t n = 0; n < active.counts[group]; ++n) {
    ahead.next();
    const std::int64_t i = active.order[group * chunk.queries + n];
    const std::uint16_t* bits = chunk.bits[i] + chunk.at;
    int tiles[kTiles];
    const int count = list_tiles(active.tiles[i] & set, tiles);
    alignas(64) float scores[kTiles * kKeys], slopes[kTiles * kKeys];
    products(chunk.q + i * chunk.dim, chunk.dim, chunk.keys, tiles, count, scores);
    products(chunk.grad + i * chunk.dim, chunk.dim, chunk.values, tiles, count, slopes);
    const Floats lse = splat(chunk.lse[i]), delta = splat(chunk.delta[i]);
    for (int e = 0; e < count; ++e) {
      float* slot = chunk.slots + std::int64_t{used} * 2 * kKeys;
      chunk.entries[tiles[e] * chunk.queries + lengths[tiles[e]]++] = {static_cast<std::int32_t>(i), used++};
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        const int at = e * kKeys + p * kLanes;
        const Floats w = choose(bits[tiles[e]], p, exponential(load<Floats>(scores + at) - lse), Floats{});
        const Floats s = choose(bits[tiles[e]], p, w * (load<Floats>(slopes + at) - delta), Floats{});
        store(slot + p * kLanes, w);
        store(slot + kKeys + p * kLanes, s);
        store(slopes + at, s);
      }
    }
    weigh<Careful>(slopes, bits, tiles, count, chunk.plain_keys, chunk.dim, chunk.of_q + i * chunk.dim);
  }
}

// Phase 2, of some keys and columns of a tile.
template <int Blocks, bool Careful>
inline void by_key(const GradientChunk& chunk, int tile, int length, int key, std::int64_t column) {
  constexpr int kWide = Blocks * kParts;
  Floats k[kTogether][kWide], v[kTogether][kWide];
  const std::int64_t to = (tile * kKeys + key) * chunk.dim + column;
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) {
#pragma GCC unroll 8
    for (int c = 0; c < kWide; ++c) {
      k[j][c] = chunk.accumulate ? load<Floats>(chunk.of_k + to + j * chunk.dim + c * kLanes) : Floats{};
      v[j][c] = chunk.accumulate ? load<Floats>(chunk.of_v + to + j * chunk.dim + c * kLanes) : Floats{};
    }
  }
  const Entry* entry = chunk.entries + tile * chunk.queries;
  for (int n = 0; n < length; ++n) {
    const float* slot = chunk.slots + std::int64_t{entry[n].slot} * 2 * kKeys + key;
    const std::int64_t from = entry[n].query * chunk.dim + column;
    Floats q[kWide], g[kWide];
#pragma GCC unroll 8
    for (int c = 0; c < kWide; ++c) {
      q[c] = load<Floats>(chunk.q + from + c * kLanes);
      g[c] = load<Floats>(chunk.grad + from + c * kLanes);
    }
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) {
      if (Careful && (chunk.bits[entry[n].query][chunk.at + tile] >> (key + j) & 1) == 0) continue;
      const Floats w = splat(slot[j]), s = splat(slot[kKeys + j]);
#pragma GCC unroll 8
      for (int c = 0; c < kWide; ++c) {
        k[j][c] = multiply_add(s, q[c], k[j][c]);
        v[j][c] = multiply_add(w, g[c], v[j][c]);
      }
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) {
#pragma GCC unroll 8
    for (int c = 0; c < kWide; ++c) {
      store(chunk.of_k + to + j * chunk.dim + c * kLanes, k[j][c]);
      store(chunk.of_v + to + j * chunk.dim + c * kLanes, v[j][c]);
    }
  }
}

template <bool Careful>
void run(const GradientChunk& chunk) {
  Ahead ahead(chunk, visits(chunk));
  const int together = chunk.active->together;
  for (int group = 0; group * together < kTiles; ++group) {
    std::int32_t lengths[kTiles] = {};
    by_query<Careful>(chunk, group, ahead, lengths);
    for (int tile = group * together; tile < (group + 1) * together; ++tile) {
      for (int key = 0; key < kKeys; key += kTogether) {
        std::int64_t column = 0;
        for (; chunk.dim - column >= kBlocks * 16; column += kBlocks * 16)
          by_key<kBlocks, Careful>(chunk, tile, lengths[tile], key, column);
        for (; column < chunk.dim; column += 16) by_key<1, Careful>(chunk, tile, lengths[tile], key, column);
      }
    }
  }
}

void backward(const GradientChunk& chunk) {
  if (chunk.careful) run<true>(chunk);
  else run<false>(chunk);
}

}  // namespace

const GradientKernels* gradient_kernels() {
  static constexpr GradientKernels table = {&backward};
  return &table;
}

}  // namespace pyseg::masked_attention::PYSEG_ISA
