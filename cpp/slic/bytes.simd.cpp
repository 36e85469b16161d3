// The inner loops of SLIC's 8-bit path, compiled once per instruction set; see bytes.h for the idea and the layout.
//
// What bounds it: vector operations. A candidate costs 16 for its 64 pixels (three absolute differences of three
// operations, four saturating additions, compare, minimum, blend); its spatial terms are made once per row of tiles.
// The sums of a pass need no second look at the image: where the winner of 64 pixels is candidate c, colours are added
// by masked sum-of-absolute-differences, rows the same way, columns by counting the mask's bits at each bit of the
// column.
#include "slic/bytes.h"
#include "core/bytes64.h"

namespace pyseg::slic::PYSEG_ISA {
namespace {

template <int T>
struct Layout;  // index of the row's byte in ByteCandidate::dy for each byte of block b

template <>
struct Layout<16> {
  static constexpr int kBlocks = 4;
  static Bytes64 rows(int b) {
    std::uint8_t at[64];
    for (int i = 0; i < 64; ++i) at[i] = static_cast<std::uint8_t>(4 * (i / 16) + ((b + i) & 3));
    return load64(at);
  }
};

template <>
struct Layout<8> {
  static constexpr int kBlocks = 1;
  static Bytes64 rows(int) {
    std::uint8_t at[64];
    for (int i = 0; i < 64; ++i) at[i] = static_cast<std::uint8_t>(i / 8);
    return load64(at);
  }
};

void binomial(const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* c, std::int64_t count,
              std::uint8_t* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto ends = static_cast<std::uint8_t>((a[i] + c[i] + 1) >> 1);
    out[i] = static_cast<std::uint8_t>((ends + b[i] + 1) >> 1);
  }
}

using Words = std::uint64_t __attribute__((vector_size(64)));

inline Words load_words(const std::uint8_t* p) {
  Words v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Bytes 0, 4, 8, ... of a, 1, 5, 9, ... of b, and so on.
inline Words every_fourth(Words a, Words b, Words c, Words d) {
  constexpr std::uint64_t kFirst = 0x000000FF000000FFu;
  return (a & kFirst) | (b & kFirst << 8) | (c & kFirst << 16) | (d & kFirst << 24);
}

void interleave(const std::uint8_t* const* rows, std::int64_t tiles, std::uint8_t* out) {
  for (std::int64_t tx = 0; tx < tiles; tx += 4) {
    Words v[4];
    for (int q = 0; q < 4; ++q) v[q] = load_words(rows[q] + 16 * tx);
    const int lanes = tiles - tx < 4 ? static_cast<int>(tiles - tx) : 4;
    for (int b = 0; b < 4; ++b) {
      const Words line = every_fourth(v[b], v[(b + 1) & 3], v[(b + 2) & 3], v[(b + 3) & 3]);
      std::uint8_t bytes[64];
      std::memcpy(bytes, &line, sizeof line);
      for (int i = 0; i < lanes; ++i) std::memcpy(out + (tx + i) * 768 + 64 * b, bytes + 16 * i, 16);
    }
  }
}

// Spatial terms of 16 positions start, start + 16, ... (1/16 pixel, relative to the centre).
void spatial16(std::int32_t start, std::int32_t weight, std::uint8_t* out) {
#if defined(__AVX2__)
  // 16 bits suffice: |start| <= 16 * (1024 + 16), the largest window and a tile.
  const __m256i lane = _mm256_setr_epi16(0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240);
  const __m256i d = _mm256_abs_epi16(_mm256_add_epi16(_mm256_set1_epi16(static_cast<short>(start)), lane));
  __m256i s = _mm256_mulhi_epu16(d, _mm256_set1_epi16(static_cast<short>(weight)));
  s = _mm256_min_epu16(s, _mm256_set1_epi16(255));
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
#else
  for (int i = 0; i < 16; ++i) {
    const std::int32_t at = start + kSub * i;
    const auto d = static_cast<std::uint32_t>(at < 0 ? -at : at);
    const std::uint32_t s = d * static_cast<std::uint32_t>(weight) >> 16;
    out[i] = static_cast<std::uint8_t>(s < 255 ? s : 255);
  }
#endif
}

void view(const ByteGrid& grid, const ByteCenter* centers, std::int64_t begin, std::int64_t end, ByteView* views,
          std::uint8_t* dx) {
  const std::int32_t unit = kSub * grid.tile, last = kSub * (grid.tile - 1),
                     tiles = static_cast<std::int32_t>(grid.tiles_x);
  const int shift = grid.tile == 16 ? 8 : 7;  // of a tile in 1/16 pixel
  for (std::int64_t k = begin; k < end; ++k) {
    const ByteCenter c = centers[k];
    ByteView v{{}, (c.x - grid.reach - last + unit - 1) >> shift, (c.x + grid.reach) >> shift};
    v.x0 = v.x0 < 0 ? 0 : v.x0;
    v.x1 = v.x1 >= tiles ? tiles - 1 : v.x1;
    for (int j = 0; j < 3; ++j) v.color[j] = c.color[j] * 0x01010101u;
    views[k] = v;
    std::uint8_t* out = dx + 16 * grid.span * k;
    for (std::int32_t tx = v.x0; tx <= v.x1; ++tx, out += 16) {
      spatial16(tx * unit - c.x, grid.weight, out);
      if (grid.tile == 8) std::memcpy(out + 8, out, 8);
    }
  }
}

std::int64_t collect(const ByteGrid& grid, std::int64_t ty, const ByteCenter* centers, const ByteView* views,
                     const std::uint8_t* dx, std::int64_t begin, std::int64_t end, std::int64_t used, ByteRow& row) {
  const std::int32_t unit = kSub * grid.tile, top = static_cast<std::int32_t>(ty) * unit;
  const std::int32_t low = top - grid.reach, high = top + kSub * (grid.tile - 1) + grid.reach;
  const std::int64_t stride = row.list_stride;
  for (std::int64_t k = begin; k < end; ++k) {
    const std::int32_t y = centers[k].y;
    if (y < low || y > high) continue;
    const ByteView& v = views[k];
    ByteCandidate& candidate = row.candidates[used];
    spatial16(top - y, grid.weight, candidate.dy);
    std::memcpy(candidate.color, v.color, sizeof v.color);
    candidate.center = static_cast<std::int32_t>(k);
    candidate.dx = dx + 16 * (grid.span * k - v.x0);
    for (std::int64_t tx = v.x0; tx <= v.x1; ++tx) {
      const std::int32_t n = row.counts[tx]++;
      if (n < stride) row.list[tx * stride + n] = static_cast<std::int32_t>(used);
    }
    ++used;
  }
  return used;
}

struct Nearest {
  Bytes64 l, a, b, index;
};

template <int T>
inline Nearest nearest(const std::uint8_t* planes, std::int64_t tx, int b, Bytes64 rows, const ByteRow& row,
                       const std::int32_t* list, int count) {
  Nearest r{load64(planes + 64 * b), load64(planes + T * T + 64 * b), load64(planes + 2 * T * T + 64 * b), splat64(0)};
  Bytes64 best = splat64(255), at = splat64(0);
  const Bytes64 one = splat64(1);
  for (int i = 0; i < count; ++i) {
    const ByteCandidate& c = row.candidates[list[i]];
    const Bytes64 space = add_saturated(repeat16(c.dx + 16 * tx), shuffle16(repeat16(c.dy), rows));
    const Bytes64 la =
        add_saturated(abs_difference(r.l, repeat4(c.color[0])), abs_difference(r.a, repeat4(c.color[1])));
    const Bytes64 distance = add_saturated(add_saturated(la, abs_difference(r.b, repeat4(c.color[2]))), space);
    keep_nearer(distance, at, best, r.index);
    at = add_saturated(at, one);
  }
  return r;
}

// The bytes of block b that lie inside the image.
template <int T>
inline std::uint64_t inside(const ByteGrid& grid, std::int64_t tx, std::int64_t ty, int b) {
  const std::int64_t columns = grid.width - tx * T, rows = grid.height - ty * T;
  if (columns >= T && rows >= T) return ~std::uint64_t{0};
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) {
    const int x = i % T, y = T == 16 ? 4 * (i / 16) + ((b + x) & 3) : i / 8;
    mask |= static_cast<std::uint64_t>(x < columns && y < rows) << i;
  }
  return mask;
}

template <int T>
inline void add_sums(const Nearest& n, std::uint64_t left, const std::int32_t* list, const ByteRow& row, Bytes64 rows,
                     std::int64_t x0, std::int64_t y0, ByteSums* sums) {
  std::uint8_t index[64];
  store64(index, n.index);
  const auto bits = [](std::uint64_t m) { return static_cast<std::int64_t>(__builtin_popcountll(m)); };
  while (left != 0) {
    const std::uint8_t i = index[__builtin_ctzll(left)];
    const std::uint64_t m = equal64(n.index, splat64(i)) & left;
    left &= ~m;
    const std::uint64_t packed = masked_sums(m, n.l, n.a, n.b, rows);
    const auto field = [&](int i) { return static_cast<std::int64_t>(packed >> (16 * i) & 0xFFFF); };
    const std::int64_t count = bits(m);
    std::int64_t x =
        bits(m & 0xAAAAAAAAAAAAAAAAu) + 2 * bits(m & 0xCCCCCCCCCCCCCCCCu) + 4 * bits(m & 0xF0F0F0F0F0F0F0F0u);
    if constexpr (T == 16) x += 8 * bits(m & 0xFF00FF00FF00FF00u);
    ByteSums& s = sums[row.candidates[list[i]].center];
    s.count += count;
    s.l += field(0);
    s.a += field(1);
    s.b += field(2);
    s.x += x + count * x0;
    s.y += field(3) + count * y0;
  }
}

template <int T>
void assign_tile(const ByteGrid& grid, std::int64_t ty, std::int64_t tx, const ByteRow& row, int block,
                 ByteSums* sums) {
  const std::uint8_t* planes = grid.planes + (ty * grid.tiles_x + tx) * 3 * T * T;
  const std::int32_t* list = row.list + tx * row.list_stride;
  const int begin = block < 0 ? 0 : block, end = block < 0 ? Layout<T>::kBlocks : block + 1;
  for (int b = begin; b < end; ++b) {
    const Bytes64 rows = Layout<T>::rows(b);
    const Nearest n = nearest<T>(planes, tx, b, rows, row, list, row.counts[tx]);
    add_sums<T>(n, inside<T>(grid, tx, ty, b), list, row, rows, tx * T, ty * T, sums);
  }
}

template <int T>
void label_tile(const ByteGrid& grid, std::int64_t tx, std::int64_t ty, const ByteRow& row, std::uint8_t* place) {
  const std::uint8_t* planes = grid.planes + (ty * grid.tiles_x + tx) * 3 * T * T;
  const std::int32_t* list = row.list + tx * row.list_stride;
  alignas(64) std::uint8_t index[T * T];
  for (int b = 0; b < Layout<T>::kBlocks; ++b)
    store64(index + 64 * b, nearest<T>(planes, tx, b, Layout<T>::rows(b), row, list, row.counts[tx]).index);
  if constexpr (T == 8) {
    std::memcpy(place, index, 64);
    return;
  }
  Words v[4];  // rows 0, 4, 8, 12 of the tile lie in row q = 0, and so on
  for (int b = 0; b < 4; ++b) v[b] = load_words(index + 64 * b);
  for (int q = 0; q < 4; ++q) {
    const Words rows = every_fourth(v[q], v[(q - 1) & 3], v[(q - 2) & 3], v[(q - 3) & 3]);
    std::uint8_t lines[64];
    std::memcpy(lines, &rows, sizeof lines);
    for (int j = 0; j < 4; ++j) std::memcpy(place + (4 * j + q) * 16, lines + 16 * j, 16);
  }
}

void assign(const ByteGrid& grid, std::int64_t ty, std::int64_t tx, const ByteRow& row, int block, ByteSums* sums) {
  if (grid.tile == 16) assign_tile<16>(grid, ty, tx, row, block, sums);
  else assign_tile<8>(grid, ty, tx, row, -1, sums);
}

void label(const ByteGrid& grid, std::int64_t tx, std::int64_t ty, const ByteRow& row, std::uint8_t* place) {
  if (grid.tile == 16) label_tile<16>(grid, tx, ty, row, place);
  else label_tile<8>(grid, tx, ty, row, place);
}

}  // namespace

const ByteKernels* byte_kernels() {
  static constexpr ByteKernels kernels{binomial, view, collect, interleave, assign, label};
  return &kernels;
}

}  // namespace pyseg::slic::PYSEG_ISA
