// Connectivity's byte loops, compiled once per instruction set; see tile.h.
#include "connectivity/tile.h"

#include "core/bytes64.h"

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

void select(const std::uint8_t* bytes, int count, const std::uint8_t* table, int entries, std::uint64_t* bits) {
#if defined(__AVX2__)
  if (entries <= 16) {
    const Bytes64 lut = repeat16(table), zero = splat64(0);
    for (int i = 0; i < count; i += 64) bits[i / 64] = ~equal64(shuffle16(lut, load64(bytes + i)), zero);
    return;
  }
#endif
  (void)entries;
  for (int i = 0; i < count; i += 64) {
    std::uint64_t word = 0;
    for (int j = 0; j < 64; ++j) word |= std::uint64_t{table[bytes[i + j]] != 0} << j;
    bits[i / 64] = word;
  }
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
  static constexpr TileKernels kernels{compare, translate, select, expand};
  return &kernels;
}

}  // namespace pyseg::connectivity::PYSEG_ISA
