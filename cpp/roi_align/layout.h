// Turning groups of channels around, for roi_align.simd.cpp: 4 by 4 values at a time.
#pragma once

#include "roi_align/halves.h"
#include "roi_align/kernels.h"

namespace pyseg::roi_align {
namespace {

template <typename T>
struct Four;
template <>
struct Four<float> {
  using V = Float4;
  using I = Int4;
};
template <>
struct Four<double> {
  using V = Double4;
  using I = Long4;
};

template <typename T, typename S>
void gather_of(const S* in, std::int64_t plane, std::int64_t count, std::int64_t channels, T* out, std::int64_t step) {
  constexpr std::int64_t kG = kGroup<T>;
  using V = typename Four<T>::V;
  const std::int64_t whole = channels / 4 * 4, most = count / 4 * 4;
  for (std::int64_t c = 0; c < whole; c += 4) {
    const S* p = in + c * plane;
    for (std::int64_t i = 0; i < most; i += 4) {
      V v0 = load4(p + i), v1 = load4(p + plane + i), v2 = load4(p + 2 * plane + i), v3 = load4(p + 3 * plane + i);
      transpose4<V, typename Four<T>::I>(v0, v1, v2, v3);
      T* q = out + i * step + c;
      store(q, v0);
      store(q + step, v1);
      store(q + 2 * step, v2);
      store(q + 3 * step, v3);
    }
    for (std::int64_t i = most; i < count; ++i)
      for (std::int64_t k = 0; k < 4; ++k) out[i * step + c + k] = widen1(p[k * plane + i]);
  }
  for (std::int64_t c = whole; c < kG; ++c)
    for (std::int64_t i = 0; i < count; ++i) out[i * step + c] = c < channels ? widen1(in[c * plane + i]) : T(0);
}

template <typename T, typename S>
void scatter_of(const T* in, std::int64_t step, std::int64_t count, std::int64_t channels, S* out, std::int64_t plane) {
  using V = typename Four<T>::V;
  const std::int64_t whole = channels / 4 * 4, most = count / 4 * 4;
  for (std::int64_t c = 0; c < whole; c += 4) {
    S* p = out + c * plane;
    for (std::int64_t i = 0; i < most; i += 4) {
      const T* q = in + i * step + c;
      V v0 = load<V>(q), v1 = load<V>(q + step), v2 = load<V>(q + 2 * step), v3 = load<V>(q + 3 * step);
      transpose4<V, typename Four<T>::I>(v0, v1, v2, v3);
      store4(p + i, v0);
      store4(p + plane + i, v1);
      store4(p + 2 * plane + i, v2);
      store4(p + 3 * plane + i, v3);
    }
    for (std::int64_t i = most; i < count; ++i)
      for (std::int64_t k = 0; k < 4; ++k) narrow1(in[i * step + c + k], p[k * plane + i]);
  }
  for (std::int64_t c = whole; c < channels; ++c)
    for (std::int64_t i = 0; i < count; ++i) narrow1(in[i * step + c], out[c * plane + i]);
}

template <typename T, typename S>
void widen_of(const S* in, std::int64_t pixel, std::int64_t count, std::int64_t channels, T* out, std::int64_t step) {
  constexpr std::int64_t kG = kGroup<T>;
  const std::int64_t whole = channels / 4 * 4;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < whole; c += 4) store(out + i * step + c, load4(in + i * pixel + c));
    for (std::int64_t c = whole; c < kG; ++c) out[i * step + c] = c < channels ? widen1(in[i * pixel + c]) : T(0);
  }
}

template <typename T, typename S>
void narrow_of(const T* in, std::int64_t step, std::int64_t count, std::int64_t channels, S* out, std::int64_t pixel) {
  const std::int64_t whole = channels / 4 * 4;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < whole; c += 4)
      store4(out + i * pixel + c, load<typename Four<T>::V>(in + i * step + c));
    for (std::int64_t c = whole; c < channels; ++c) narrow1(in[i * step + c], out[i * pixel + c]);
  }
}

// Calls use(pointer to values of that number). Maps of float64 are computed in float64, all others in float32.
template <typename T, typename P, typename Use>
inline void typed(P* p, Number number, Use use) {
  constexpr bool kConst = std::is_const_v<P>;
  const auto as = [&](auto* kind) {
    using S = std::remove_pointer_t<decltype(kind)>;
    use(static_cast<std::conditional_t<kConst, const S*, S*>>(p));
  };
  if constexpr (std::is_same_v<T, double>) {
    as(static_cast<double*>(nullptr));
  } else {
    if (number == Number::f32) as(static_cast<float*>(nullptr));
    else if (number == Number::f16) as(static_cast<Half*>(nullptr));
    else as(static_cast<Brain*>(nullptr));
  }
}

template <typename T>
void gather(const void* in, Number number, std::int64_t plane, std::int64_t count, std::int64_t channels, T* out,
            std::int64_t step) {
  typed<T>(in, number, [&](auto* p) { gather_of(p, plane, count, channels, out, step); });
}
template <typename T>
void scatter(const T* in, std::int64_t step, std::int64_t count, std::int64_t channels, void* out, Number number,
             std::int64_t plane) {
  typed<T>(out, number, [&](auto* p) { scatter_of(in, step, count, channels, p, plane); });
}
template <typename T>
void widen(const void* in, Number number, std::int64_t pixel, std::int64_t count, std::int64_t channels, T* out,
           std::int64_t step) {
  typed<T>(in, number, [&](auto* p) { widen_of(p, pixel, count, channels, out, step); });
}
template <typename T>
void narrow(const T* in, std::int64_t step, std::int64_t count, std::int64_t channels, void* out, Number number,
            std::int64_t pixel) {
  typed<T>(out, number, [&](auto* p) { narrow_of(in, step, count, channels, p, pixel); });
}

}  // namespace
}  // namespace pyseg::roi_align
