// A candidate against vectors of kept boxes; compiled once per instruction set.
#include "nms/nms.h"

#include <type_traits>

#include "core/vectors.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyseg::nms::PYSEG_ISA {
namespace {

// Whether any bit is set.
template <typename V>
inline bool any(const V& mask) {
#if defined(__AVX512F__)
  __m512i m;
  std::memcpy(&m, &mask, sizeof m);
  return _mm512_test_epi32_mask(m, m) != 0;
#elif defined(__AVX2__)
  __m256i m;
  std::memcpy(&m, &mask, sizeof m);
  return _mm256_testz_si256(m, m) == 0;
#elif defined(__SSE2__)
  __m128i m;
  std::memcpy(&m, &mask, sizeof m);
  return _mm_movemask_epi8(m) != 0;
#else
  std::uint64_t words[sizeof mask / 8], some = 0;
  std::memcpy(words, &mask, sizeof mask);
  for (const std::uint64_t word : words) some |= word;
  return some != 0;
#endif
}

template <typename T>
bool suppressed(const Kept<T>& kept, std::int64_t begin, std::int64_t end, const T* box, T area, T threshold) {
  using V = std::conditional_t<std::is_same_v<T, float>, Floats, Doubles>;
  constexpr int kWide = sizeof(V) / sizeof(T);
  const V x1 = V{} + box[0], y1 = V{} + box[1], x2 = V{} + box[2], y2 = V{} + box[3], own = V{} + area;
  const V most = V{} + threshold, zero = V{};
  for (std::int64_t i = begin; i < end; i += kWide) {
    const V kx1 = load<V>(kept.x1 + i), ky1 = load<V>(kept.y1 + i);
    const V kx2 = load<V>(kept.x2 + i), ky2 = load<V>(kept.y2 + i);
    // As std::max and std::min choose beside NaN: the kept box's, and 0.
    const V left = kx1 < x1 ? x1 : kx1, top = ky1 < y1 ? y1 : ky1;
    const V right = x2 < kx2 ? x2 : kx2, bottom = y2 < ky2 ? y2 : ky2;
    const V across = right - left, down = bottom - top;
    const V w = zero < across ? across : zero, h = zero < down ? down : zero;
    const V both = w * h;
    const V overlap = both / (load<V>(kept.area + i) + own - both);
    if (any(overlap > most)) return true;
  }
  return false;
}

constexpr Kernels kTable = {&suppressed<float>, &suppressed<double>};

}  // namespace

const Kernels* kernels() { return &kTable; }

}  // namespace pyseg::nms::PYSEG_ISA
