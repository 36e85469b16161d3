// The inner loops (kernels.h): rows of planes in rows.h, the channels of a pixel here.
//
// A vector holds neighbouring windows, or neighbouring channels of one window. Nothing is looked up: each tap of the
// window is compared with what is best so far, or with the stored code, in all lanes; so the work is taps times values,
// 4 to 9 comparisons for what memory takes as long to bring.
#include "max_unpool/kernels.h"

#include "max_unpool/lanes.h"
#include "max_unpool/rows.h"

namespace pyseg::max_unpool {
namespace {

template <typename E, int kCount>
inline void pool_windows(const Pixels& p, typename E::T* y, std::uint8_t* codes) {
  using T = typename E::T;
  const int count = kCount > 0 ? kCount : p.count;
  for (std::int64_t o = 0; o < p.n; ++o) {
    const T* at[kCount > 0 ? kCount : 256];
    for (int k = 0; k < count; ++k) at[k] = static_cast<const T*>(p.at[k]) + o * p.step;
    const bool loose = (p.n - 1 - o) * p.channels >= Lanes<E, kVectorBytes>::kCount;
    T* to = y + o * p.channels;
    std::uint8_t* code = codes + o * p.channels;
    const std::int64_t done = cover<E>(0, p.channels, loose, [&](auto lanes, std::int64_t c) {
      using L = decltype(lanes);
      typename L::Best best{L::read(at[0] + c), L::all(p.tap[0])};
      for (int k = 1; k < count; ++k) L::offer(best, L::read(at[k] + c), p.tap[k]);
      store(to + c, best.value);
      L::write_codes(code + c, best.code);
    });
    for (std::int64_t c = done; c < p.channels; ++c) {
      int best = 0;
      for (int k = 1; k < count; ++k)
        if (E::better(at[k][c], at[best][c])) best = k;
      to[c] = at[best][c];
      code[c] = static_cast<std::uint8_t>(p.tap[best]);
    }
  }
}

template <typename E>
void pool_pixels(const Pixels& p, void* y, std::uint8_t* codes) {
  auto* to = static_cast<typename E::T*>(y);
  if (p.count == 4) pool_windows<E, 4>(p, to, codes);
  else pool_windows<E, 0>(p, to, codes);
}

template <typename E, int kCount>
inline void gather_windows(const Pixels& p, const std::uint8_t* codes, typename E::T* y) {
  using T = typename E::T;
  const int count = kCount > 0 ? kCount : p.count;
  for (std::int64_t o = 0; o < p.n; ++o) {
    const T* at[kCount > 0 ? kCount : 256];
    for (int k = 0; k < count; ++k) at[k] = static_cast<const T*>(p.at[k]) + o * p.step;
    const bool loose = (p.n - 1 - o) * p.channels >= Lanes<E, kVectorBytes>::kCount;
    T* to = y + o * p.channels;
    const std::uint8_t* of = codes + o * p.channels;
    const std::int64_t done = cover<E>(0, p.channels, loose, [&](auto lanes, std::int64_t c) {
      using L = decltype(lanes);
      const typename L::M code = L::codes(of + c);
      typename L::V v{};
      for (int k = 0; k < count; ++k) v = code == L::all(p.tap[k]) ? L::read(at[k] + c) : v;
      store(to + c, v);
    });
    for (std::int64_t c = done; c < p.channels; ++c)
      for (int k = 0; k < count; ++k)
        if (of[c] == p.tap[k]) to[c] = at[k][c];
  }
}

template <typename E>
void gather_pixels(const Pixels& p, const std::uint8_t* codes, void* y) {
  auto* to = static_cast<typename E::T*>(y);
  if (p.count == 4) gather_windows<E, 4>(p, codes, to);
  else gather_windows<E, 0>(p, codes, to);
}

template <typename E>
void spread_strides(const Strides& s, const void* rest, void* x, bool past_cache) {
  using T = typename E::T;
  const T* none = static_cast<const T*>(rest);
  T* to = static_cast<T*>(x);
  constexpr std::int64_t lanes = Lanes<E, kVectorBytes>::kCount;
  past_cache = past_cache && s.channels % lanes == 0 && reinterpret_cast<std::uintptr_t>(x) % kVectorBytes == 0;
  for (std::int64_t o = 0; o < s.n; ++o) {
    const T* from = static_cast<const T*>(s.y) + o * s.channels;
    const std::uint8_t* codes = s.codes + o * s.channels;
    for (std::int64_t k = 0; k < s.stride; ++k, to += s.channels) {
      const int tap = k < s.kernel ? s.tap + static_cast<int>(k) : -1;
      const auto found = [&](auto l, std::int64_t c) {
        using L = decltype(l);
        return L::codes(codes + c) == L::all(tap) ? L::read(from + c) : L::read(none + c);
      };
      if (past_cache) {
        for (std::int64_t c = 0; c < s.channels; c += lanes)
          stream<kVectorBytes>(to + c, found(Lanes<E, kVectorBytes>{}, c));
        continue;
      }
      const std::int64_t done =
          cover<E>(0, s.channels, false, [&](auto l, std::int64_t c) { store(to + c, found(l, c)); });
      for (std::int64_t c = done; c < s.channels; ++c) to[c] = codes[c] == tap ? from[c] : none[c];
    }
  }
}

template <typename E>
void spread_pixel(const Sources& s, const void* rest, void* x, bool add) {
  using T = typename E::T;
  T* to = static_cast<T*>(x);
  const T* none = static_cast<const T*>(rest);
  const auto at = [&](int k) { return static_cast<const T*>(s.value[k]); };
  const std::int64_t done = cover<E>(0, s.channels, false, [&](auto lanes, std::int64_t c) {
    using L = decltype(lanes);
    typename L::V v = L::read(none + c);
    for (int k = 0; k < s.count; ++k) {
      const typename L::M hit = L::codes(s.code[k] + c) == L::all(s.tap[k]);
      const typename L::V source = L::read(at(k) + c);
      if (add) v += hit ? source : typename L::V{};
      else v = hit ? source : v;
    }
    store(to + c, v);
  });
  for (std::int64_t c = done; c < s.channels; ++c) {
    T v = none[c];
    for (int k = 0; k < s.count; ++k)
      if (s.code[k][c] == s.tap[k]) v = static_cast<T>(add ? v + at(k)[c] : at(k)[c]);
    to[c] = v;
  }
}

// Lanes as wide as the places are. of(i): where window value i counts from, as a vector and alone.
template <typename E, typename Begin, typename One>
bool encode_lanes(const typename E::I* places, std::int64_t count, const std::int64_t* of_tap, int taps,
                  std::uint8_t* codes, Begin begin, One one) {
  using I = typename E::I;
  bool all = true;
  const std::int64_t done = cover<E>(0, count, false, [&](auto lanes, std::int64_t i) {
    using L = decltype(lanes);
    using M = typename L::M;
    const M from = load<M>(places + i) - begin(lanes, i);
    M code = L::all(-1);
    for (int t = 0; t < taps; ++t) code = from == M{} + static_cast<I>(of_tap[t]) ? L::all(t) : code;
    L::write_codes(codes + i, code & L::all(255));
    M missing = code < 0;
    for (int k = 1; k < L::kCount; k *= 2) missing |= L::rotated(missing, k);
    all = all && missing[0] == 0;
  });
  for (std::int64_t i = done; i < count; ++i) {
    int code = -1;
    for (int t = 0; t < taps; ++t)
      if (places[i] - one(i) == of_tap[t]) code = t;
    codes[i] = static_cast<std::uint8_t>(code);
    all = all && code >= 0;
  }
  return all;
}

template <typename E>
bool encode_places(const typename E::I* places, std::int64_t n, std::int64_t pitch, std::int64_t origin,
                   std::int64_t stride, const std::int64_t* of_tap, int taps, std::uint8_t* codes) {
  using I = typename E::I;
  if (pitch == 1)
    return encode_lanes<E>(
        places, n, of_tap, taps, codes,
        [&](auto l, std::int64_t i) {
          using L = decltype(l);
          return L::iota() * static_cast<I>(stride) + static_cast<I>(origin + i * stride);
        },
        [&](std::int64_t i) { return origin + i * stride; });
  bool all = true;
  for (std::int64_t o = 0; o < n; ++o, origin += stride)
    all = encode_lanes<E>(
              places + o * pitch, pitch, of_tap, taps, codes + o * pitch,
              [&](auto l, std::int64_t) { return typename decltype(l)::M{} + static_cast<I>(origin); },
              [&](std::int64_t) { return origin; }) &&
          all;
  return all;
}

bool encode(const void* places, bool wide, std::int64_t n, std::int64_t pitch, std::int64_t origin, std::int64_t stride,
            const std::int64_t* of_tap, int taps, std::uint8_t* codes) {
  if (wide) return encode_places<F64>(static_cast<const long*>(places), n, pitch, origin, stride, of_tap, taps, codes);
  return encode_places<F32>(static_cast<const std::int32_t*>(places), n, pitch, origin, stride, of_tap, taps, codes);
}

template <typename E>
void decode_places(const std::uint8_t* codes, std::int64_t n, std::int64_t pitch, std::int64_t origin,
                   std::int64_t stride, const std::int64_t* of_tap, int taps, typename E::I* places) {
  using I = typename E::I;
  constexpr int kCompared = 16;  // more are looked up
  const auto run = [&](const std::uint8_t* code, std::int64_t count, std::int64_t start, std::int64_t step, I* to) {
    const std::int64_t done = taps > kCompared ? 0 : cover<E>(0, count, false, [&](auto lanes, std::int64_t i) {
      using L = decltype(lanes);
      using M = typename L::M;
      const M found = L::codes(code + i);
      M place = M{} + static_cast<I>(of_tap[0]);
      for (int t = 1; t < taps; ++t) place = found == L::all(t) ? M{} + static_cast<I>(of_tap[t]) : place;
      store(to + i, place + L::iota() * static_cast<I>(step) + static_cast<I>(start + i * step));
    });
    for (std::int64_t i = done; i < count; ++i) to[i] = static_cast<I>(start + i * step + of_tap[code[i]]);
  };
  if (pitch == 1) return run(codes, n, origin, stride, places);
  for (std::int64_t o = 0; o < n; ++o) run(codes + o * pitch, pitch, origin + o * stride, 0, places + o * pitch);
}

void decode(const std::uint8_t* codes, std::int64_t n, std::int64_t pitch, std::int64_t origin, std::int64_t stride,
            const std::int64_t* of_tap, int taps, void* places, bool wide) {
  if (wide) decode_places<F64>(codes, n, pitch, origin, stride, of_tap, taps, static_cast<long*>(places));
  else decode_places<F32>(codes, n, pitch, origin, stride, of_tap, taps, static_cast<std::int32_t*>(places));
}

void copy_past_cache(const void* from, void* to, std::int64_t bytes) {
  using V = VectorOf<std::uint8_t, kVectorBytes>::type;
  const auto* p = static_cast<const std::uint8_t*>(from);
  auto* q = static_cast<std::uint8_t*>(to);
  auto head = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(q) % 64);
  if (head > bytes) head = bytes;
  std::memcpy(q, p, static_cast<std::size_t>(head));
  std::int64_t i = head;
  for (; i + 64 <= bytes; i += 64)
    for (std::int64_t k = 0; k < 64; k += kVectorBytes) stream<kVectorBytes>(q + i + k, load<V>(p + i + k));
  std::memcpy(q + i, p + i, static_cast<std::size_t>(bytes - i));
}

bool codes_below(const std::uint8_t* codes, std::int64_t count, int taps) {
  std::uint8_t most = 0;
  std::int64_t i = 0;
  using V = VectorOf<std::uint8_t, 16>::type;
  V wide{};
  if (count >= 16) {
    const auto take = [&](std::int64_t at) {
      const V v = load<V>(codes + at);
      wide = v > wide ? v : wide;
    };
    for (; i + 16 <= count; i += 16) take(i);
    if (i < count) take(count - 16);
    for (int k = 0; k < 16; ++k) most = most > wide[k] ? most : wide[k];
    return most < taps;
  }
  for (; i < count; ++i) most = most > codes[i] ? most : codes[i];
  return most < taps;
}

void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <typename E>
constexpr Kernels kernels_of() {
  return {pool_rows<E>,    pool_pixels<E>,    gather_rows<E>,  gather_pixels<E>,
          spread_pairs<E>, spread_strides<E>, spread_pixel<E>, spread_row<E>};
}

const KernelTable kTable = {{kernels_of<F16>(), kernels_of<BF16>(), kernels_of<F32>(), kernels_of<F64>()},
                            codes_below,
                            encode,
                            decode,
                            copy_past_cache,
                            fence};

}  // namespace

namespace PYSEG_ISA {
const KernelTable* kernel_table() { return &kTable; }
}  // namespace PYSEG_ISA

}  // namespace pyseg::max_unpool
