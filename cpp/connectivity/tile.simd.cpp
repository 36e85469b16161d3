// Connectivity's byte loops, compiled once per instruction set; see tile.h.
#include "connectivity/tile.h"

#include "core/bytes64.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::connectivity::PYSEG_ISA {
namespace {

void compare(const std::uint8_t* bytes, int tile, std::uint64_t* same_left, std::uint64_t* same_up) {
  const std::uint64_t first_column = tile == 16 ? 0x0001000100010001u : 0x0101010101010101u;
  const int words = tile * tile / 64;
  for (int w = 0; w < words; ++w) {
    const std::uint8_t* p = bytes + 64 * w;
    const Bytes64 v = load64(p);
    same_left[w] = equal64(v, load64(p - 1)) & ~first_column;
    same_up[w] = equal64(v, load64(p - tile));
  }
  same_up[0] &= ~((std::uint64_t{1} << tile) - 1);
}

// From 64-bit words in raster order to one word a row.
void rows_of(const std::uint64_t* words, int tile, std::uint16_t* rows) {
  if (tile == 16) {
    std::memcpy(rows, words, 32);
    return;
  }
  for (int r = 0; r < 8; ++r) rows[r] = static_cast<std::uint16_t>(words[0] >> (8 * r) & 0xFF);
}

void unite(TileParts& parts, std::uint8_t a, std::uint8_t b) {
  a = parts.find(a);
  b = parts.find(b);
  if (a < b) parts.parent[b] = a;
  else parts.parent[a] = b;
}

// Labels the tile's runs in raster order. A run takes the label above its first touching pixel, or a new one, without a
// branch; that it touches further runs above is rare, and only then labels are united.
void label(const std::uint8_t* bytes, const std::uint16_t* inside, int tile, TileParts& parts, std::uint8_t* out) {
  std::uint64_t same_left[4], same_up[4];
  std::uint16_t left[16], up[16];
  compare(bytes, tile, same_left, same_up);
  rows_of(same_left, tile, left);
  rows_of(same_up, tile, up);
  const int shift = tile == 16 ? 4 : 3;
  std::uint32_t link[16], stops[16];
  std::uint64_t starts[4] = {};
  for (int r = 0; r < tile; ++r) {
    const unsigned in = inside[r], first = in & ~(left[r] & (in << 1));
    stops[r] = first | (~in & 0xFFFFu) | 1u << tile;
    link[r] = r > 0 ? up[r] & in & inside[r - 1] : 0;
    starts[(r << shift) / 64] |= static_cast<std::uint64_t>(first) << ((r << shift) % 64);
  }
  int count = 0;
  for (int w = 0; w < tile * tile / 64; ++w)
    for (std::uint64_t s = starts[w]; s != 0; s &= s - 1) {
      const int i = 64 * w + __builtin_ctzll(s), r = i >> shift, begin = i & (tile - 1);
      const int length = __builtin_ctz(stops[r] >> (begin + 1)) + 1;
      const unsigned touch = link[r] >> begin & ((1u << length) - 1);
      const int at = __builtin_ctz(touch | 1u << length);  // the first touching pixel, counted from `begin`
      const std::uint8_t* above = out + i - tile;
      const bool fresh = touch == 0;
      const int part = fresh ? count : above[at];
      parts.parent[count] = static_cast<std::uint8_t>(count);
      parts.at[count] = static_cast<std::uint8_t>(i);
      parts.size[count] = 0;
      count += fresh;
      parts.size[part] += length;
      std::memset(out + i, part, 16);  // what runs over is painted by the next run
      if (fresh) continue;
      const std::uint32_t stops_above = stops[r - 1] >> begin;
      for (int x = at;;) {
        x += __builtin_ctz(stops_above >> (x + 1)) + 1;
        const unsigned rest = x < 16 ? touch >> x << x : 0;
        if (rest == 0) break;
        x = __builtin_ctz(rest);
        unite(parts, static_cast<std::uint8_t>(part), above[x]);
      }
    }
  parts.count = count;
}

void translate(std::uint8_t* bytes, int count, const std::uint8_t* table, int entries) {
#if defined(__AVX2__)
  if (entries <= 16) {
    const Bytes64 lut = repeat16(table);
    for (int i = 0; i < count; i += 64) store64(bytes + i, shuffle16(lut, load64(bytes + i)));
    return;
  }
#endif
  (void)entries;
  for (int i = 0; i < count; ++i) bytes[i] = table[bytes[i]];
}

void select(const std::uint8_t* bytes, int tile, const std::uint8_t* table, int entries, std::uint16_t* rows) {
  std::uint64_t words[4];
  const int count = tile * tile;
#if defined(__AVX2__)
  if (entries <= 16) {
    const Bytes64 lut = repeat16(table), zero = splat64(0);
    for (int i = 0; i < count; i += 64) words[i / 64] = ~equal64(shuffle16(lut, load64(bytes + i)), zero);
    return rows_of(words, tile, rows);
  }
#endif
  (void)entries;
  for (int i = 0; i < count; i += 64) {
    std::uint64_t word = 0;
    for (int j = 0; j < 64; ++j) word |= std::uint64_t{table[bytes[i + j]] != 0} << j;
    words[i / 64] = word;
  }
  rows_of(words, tile, rows);
}

unsigned changes(const std::uint8_t* a, const std::uint8_t* b) {
#if defined(__SSE2__)
  const auto repeats = [](const std::uint8_t* p) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm_cmpeq_epi8(v, _mm_slli_si128(v, 1));
  };
  return (~static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(repeats(a), repeats(b)))) & 0xFFFFu) | 1u;
#else
  unsigned bits = 1;
  for (int i = 1; i < 16; ++i) bits |= unsigned{a[i] != a[i - 1] || b[i] != b[i - 1]} << i;
  return bits;
#endif
}

void expand(const std::uint8_t* bytes, int count, const std::int32_t* table, int entries, std::int32_t* out) {
  int i = 0;
#if defined(__AVX512BW__)
  if (entries <= 32) {
    const __m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + 16);
    for (; i < count; i += 16) {
      const __mmask16 lanes = count - i >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << (count - i)) - 1);
      const __m512i at = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, bytes + i));
      _mm512_mask_storeu_epi32(out + i, lanes, _mm512_permutex2var_epi32(low, at, high));
    }
    return;
  }
#elif defined(__AVX2__)
  if (entries <= 8) {
    const __m256i lut = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table));
    for (; i + 8 <= count; i += 8) {
      const __m256i at = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + i)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_permutevar8x32_epi32(lut, at));
    }
  }
#endif
  (void)entries;
  for (; i < count; ++i) out[i] = table[bytes[i]];
}

}  // namespace

const TileKernels* tile_kernels() {
  static constexpr TileKernels kernels{label, compare, translate, select, changes, expand};
  return &kernels;
}

}  // namespace pyseg::connectivity::PYSEG_ISA
