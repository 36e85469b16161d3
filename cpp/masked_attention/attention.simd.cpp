// The forward inner loops: one chunk of 256 keys of one head, packed, against every query.
//
// Tiles come in groups of 16 KB, and of a group only the queries that have any of it: scores of its tiles together, the
// mask as 16 bits over a vector of scores, one rescaling of its sums a group (online softmax: Milakov and Gimelshein,
// 2018), then the values. Keys are [tile][dim][16], so that a vector is a tile and q a broadcast value; values are
// rows, so that a weight is one. What bounds it are multiply-adds and their loads, one a multiply-add, and at low
// densities the memory that keys and values come from: it is asked for the next rows meanwhile.
#include "core/vectors.h"
#include "masked_attention/kernels.h"
#include "masked_attention/lanes.h"

namespace pyseg::masked_attention::PYSEG_ISA {
namespace {

constexpr float kLow = -__builtin_inff();

// lanes a0 b0 a1 b1 ... of the first or the second halves: log2(kLanes) rounds of it transpose a square.
inline Floats interleave(const Floats& a, const Floats& b, bool second) {
  Ints which;
  for (int i = 0; i < kLanes; ++i) which[i] = i / 2 + (second ? kLanes / 2 : 0) + (i % 2 != 0 ? kLanes : 0);
  return __builtin_shuffle(a, b, which);
}

inline void transpose(Floats (&rows)[kLanes]) {
#pragma GCC unroll 4
  for (int round = 1; round < kLanes; round *= 2) {
    Floats next[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = interleave(rows[i], rows[i + kLanes / 2], false);
      next[2 * i + 1] = interleave(rows[i], rows[i + kLanes / 2], true);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

// Rows that are there, whole vectors of them.
bool pack_whole(const float* const* rows, std::int64_t dim, float* transposed, float* plain) {
  Floats strange = {};  // x - x is 0, or NaN
  if (plain != nullptr) {
    for (int r = 0; r < kKeys; ++r) {
      for (std::int64_t c = 0; c < dim; c += kLanes) {
        const Floats x = load<Floats>(rows[r] + c);
        strange += x - x;
        store(plain + r * dim + c, x);
      }
    }
  }
  if (transposed != nullptr) {
    for (int r = 0; r < kKeys; r += kLanes) {
      for (std::int64_t c = 0; c < dim; c += kLanes) {
        Floats square[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) {
          square[i] = load<Floats>(rows[r + i] + c);
          if (plain == nullptr) strange += square[i] - square[i];
        }
        transpose(square);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(transposed + (c + i) * kKeys + r, square[i]);
      }
    }
  }
  bool finite = true;
  for (int i = 0; i < kLanes; ++i) finite = finite && strange[i] == 0.0f;
  return finite;
}

bool pack(const float* const* rows, std::int64_t dim, std::int64_t padded, float* transposed, float* plain) {
  bool whole = dim == padded;
  for (int r = 0; r < kKeys && whole; ++r) whole = rows[r] != nullptr;
  if (whole) return pack_whole(rows, dim, transposed, plain);
  bool finite = true;
  for (int r = 0; r < kKeys; ++r) {
    for (std::int64_t c = 0; c < padded; ++c) {
      const float x = rows[r] != nullptr && c < dim ? rows[r][c] : 0.0f;
      finite = finite && x - x == 0.0f;
      if (transposed != nullptr) transposed[c * kKeys + r] = x;
      if (plain != nullptr) plain[r * padded + c] = x;
    }
  }
  return finite;
}

unsigned active(const std::uint16_t* const* bits, std::int64_t queries, std::int64_t at, Active& result) {
  unsigned any = 0;
  for (std::int64_t i = 0; i < queries; ++i) {
    result.tiles[i] = static_cast<std::uint16_t>(tiles_with_bits(bits[i] + at));
    any |= result.tiles[i];
  }
  const unsigned mask = (1u << result.together) - 1;
  for (int g = 0; g < kTiles; ++g) {
    std::int32_t n = 0;
    std::int32_t* order = result.order + g * queries;
    const int first = g * result.together;
    for (std::int64_t i = 0; first < kTiles && (any >> first & mask) != 0 && i < queries; ++i) {
      order[n] = static_cast<std::int32_t>(i);
      n += (result.tiles[i] >> first & mask) != 0 ? 1 : 0;
    }
    result.counts[g] = n;
  }
  return any;
}

inline float largest(const Floats& v) {
  float lanes[kLanes];
  Floats rest = v;
#pragma GCC unroll 4
  for (int half = kLanes / 2; half > 0; half /= 2) {
    Ints which;
    for (int i = 0; i < kLanes; ++i) which[i] = (i + half) % kLanes;
    rest = most(rest, __builtin_shuffle(rest, which));
  }
  store(lanes, rest);
  return lanes[0];
}

template <bool Careful>
inline void attend(const Chunk& chunk, std::int64_t i, unsigned group) {
  const std::uint16_t* bits = chunk.bits[i] + chunk.at;
  int tiles[kTiles];
  const int count = list_tiles(chunk.active->tiles[i] & group, tiles);
  alignas(64) float scores[kTiles * kKeys];
  products(chunk.q + i * chunk.dim, chunk.dim, chunk.keys, tiles, count, scores);

  Floats top = splat(kLow);
  for (int e = 0; e < count; ++e) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p)
      top = most(choose(bits[tiles[e]], p, load<Floats>(scores + e * kKeys + p * kLanes), splat(kLow)), top);
  }
  float* sum = chunk.sum + i * chunk.dim;
  float* weight = chunk.weight + i * kKeys;
  const float before = chunk.most[i], now = largest(top);
  if (now > before) {
    const Floats factor = exponential(splat(before - now));
    for (std::int64_t d = 0; d < chunk.dim; d += kLanes) store(sum + d, load<Floats>(sum + d) * factor);
    for (int d = 0; d < kKeys; d += kLanes) store(weight + d, load<Floats>(weight + d) * factor);
    chunk.most[i] = now;
  }
  // Scores of minus infinity alone: their weights are 0, and not of NaN.
  const Floats base = splat(chunk.most[i] == kLow ? 0.0f : chunk.most[i]);
  Floats total[kParts];
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) total[p] = Floats{};
  for (int e = 0; e < count; ++e) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      float* at = scores + e * kKeys + p * kLanes;
      const Floats w = choose(bits[tiles[e]], p, exponential(load<Floats>(at) - base), Floats{});
      total[p] += w;
      store(at, w);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) store(weight + p * kLanes, load<Floats>(weight + p * kLanes) + total[p]);
  weigh<Careful>(scores, bits, tiles, count, chunk.values, chunk.dim, sum);
}

void forward(const Chunk& chunk) {
  Ahead ahead(chunk, visits(chunk));
  const Active& active = *chunk.active;
  for (int g = 0; g * active.together < kTiles; ++g) {
    const unsigned group = ((1u << active.together) - 1) << (g * active.together);
    for (std::int32_t n = 0; n < active.counts[g]; ++n) {
      ahead.next();
      const std::int64_t i = active.order[g * chunk.queries + n];
      if (chunk.careful) attend<true>(chunk, i, group);
      else attend<false>(chunk, i, group);
    }
  }
}

}  // namespace

const Kernels* kernels() {
  static constexpr Kernels table = {&pack, &active, &forward};
  return &table;
}

}  // namespace pyseg::masked_attention::PYSEG_ISA
