// The set-up of a block of queries: for each sample its four corners' rows and weights. Samples of a block lie in a
// row, query by query, so that vectors are full whatever levels and points there are; no branches, each value computed
// alone, so that all instruction sets agree. For *.simd.cpp only.
#pragma once

#include "deform_attention/lanes.h"

namespace pyseg::deform_attention {
namespace {

template <typename T>
struct Taps {
  std::int64_t samples;  // of a query
  T *places, *sizes;     // [n][2]: pixels (x, y); (w, h) of the sample's map
  T *weight, *fx, *fy;   // [n]
  T* corner[4];          // [n]: weights of corners (y0, x0), (y0, x1), (y1, x0), (y1, x1), `weight` included
  Index<T>* row[4];      // where rows begin, in units of 64 bytes
  // Of the sample's map; start, and pitch from row to row, in those units.
  Index<T>* width;
  Index<T>* height;
  Index<T>* start;
  Index<T>* pitch;
  T *offsets, *dots;  // [n][2], only in the backward pass of fused points; [n][4], only in the backward pass
};

inline std::int64_t padded(std::int64_t n) { return (n + 15) / 16 * 16; }

template <typename T>
Taps<T> make_taps(const Head& head, std::byte* scratch) {
  Taps<T> t;
  t.samples = head.levels * head.points;
  const std::int64_t together = queries_together(t.samples), n = padded(together * t.samples);
  const auto take = [&](auto*& pointer, std::int64_t count) {
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(scratch);
    scratch += count * static_cast<std::int64_t>(sizeof *pointer);
  };
  take(t.places, 2 * n);
  take(t.sizes, 2 * n);
  take(t.weight, n);
  take(t.fx, n);
  take(t.fy, n);
  for (T*& corner : t.corner) take(corner, n);
  for (Index<T>*& row : t.row) take(row, n);
  take(t.width, n);
  take(t.height, n);
  take(t.start, n);
  take(t.pitch, n);
  take(t.offsets, 2 * n);
  take(t.dots, 4 * n);
  std::int64_t i = 0;
  for (std::int64_t q = 0; q < together; ++q)
    for (std::int64_t l = 0; l < head.levels; ++l)
      for (std::int64_t p = 0; p < head.points; ++p, ++i) {
        const Map& map = head.maps[l];
        t.width[i] = map.width;
        t.height[i] = map.height;
        t.start[i] = static_cast<Index<T>>(map.start * head.units);
        t.pitch[i] = static_cast<Index<T>>(map.width * head.units);
        t.sizes[2 * i] = static_cast<T>(map.width);
        t.sizes[2 * i + 1] = static_cast<T>(map.height);
      }
  for (; i < n; ++i) t.width[i] = t.height[i] = t.start[i] = t.pitch[i] = 0;
  return t;
}

inline std::int64_t taps_bytes(const Head& head) {
  const std::int64_t samples = head.levels * head.points;
  return padded(queries_together(samples) * samples) * 25 * 8;
}

// e^x of x <= 0, within 2 ulp (Cephes, expf.c); 0 below -87.
inline void exp_all(float* x, std::int64_t n) {
  constexpr float kShift = 12582912.0f;
  for (std::int64_t i = 0; i < n; ++i) {
    const float v = x[i] < -87.0f ? -87.0f : x[i];
    const float shifted = v * 1.44269504088896341f + kShift;
    const float whole = shifted - kShift;
    float r = v - whole * 0.693359375f;
    r = r - whole * -2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    std::int32_t bits, exponent;
    std::memcpy(&bits, &y, 4);
    std::memcpy(&exponent, &shifted, 4);
    bits = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits) + (static_cast<std::uint32_t>(exponent) << 23));
    std::memcpy(&y, &bits, 4);
    x[i] = x[i] < -87.0f ? 0.0f : x[i] == x[i] ? y : x[i];
  }
}
inline void exp_all(double* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = __builtin_exp(x[i]);
}

// Of each query's samples. Logits of minus infinity get 0.
template <typename T>
void softmax(T* x, std::int64_t queries, std::int64_t samples) {
  for (std::int64_t q = 0; q < queries; ++q) {
    T* row = x + q * samples;
    T most = row[0];
    for (std::int64_t i = 1; i < samples; ++i) most = row[i] > most ? row[i] : most;
    for (std::int64_t i = 0; i < samples; ++i) row[i] -= most;
  }
  exp_all(x, queries * samples);
  for (std::int64_t q = 0; q < queries; ++q) {
    T* row = x + q * samples;
    T sum = row[0];
    for (std::int64_t i = 1; i < samples; ++i) sum += row[i];
    const T inverse = T{1} / sum;
    for (std::int64_t i = 0; i < samples; ++i) row[i] *= inverse;
  }
}

// Pixels of fused points: the reference's plus the offset, in pixels or in a share of a box.
template <typename T>
void place(const Head& head, std::int64_t query, const T* sizes, T* places) {
  const T share = T{0.5} / static_cast<T>(head.points);
  T box[4];
  for (std::int64_t l = 0; l < head.levels; ++l) {
    read_all(head.reference, query * head.reference_step + l * head.box, head.box, box);
    const T w = sizes[0], h = sizes[1];
    const T x = box[0] * w - T{0.5}, y = box[1] * h - T{0.5};
    const T dx = head.box == 4 ? box[2] * w * share : T{1}, dy = head.box == 4 ? box[3] * h * share : T{1};
    for (std::int64_t p = 0; p < head.points; ++p, places += 2, sizes += 2) {
      places[0] = places[0] * dx + x;
      places[1] = places[1] * dy + y;
    }
  }
}

// x and y of pairs (x, y).
template <typename T>
inline void unzip(const T* pairs, Vector<T>& x, Vector<T>& y) {
  Whole<T> even, odd;
  for (int i = 0; i < kLanes<T>; ++i) {
    even[i] = 2 * i;
    odd[i] = 2 * i + 1;
  }
  const auto a = load<Vector<T>>(pairs), b = load<Vector<T>>(pairs + kLanes<T>);
  x = __builtin_shuffle(a, b, even);
  y = __builtin_shuffle(a, b, odd);
}

// The largest whole number <= v, and what is left.
template <typename T>
inline Whole<T> floor_of(Vector<T> v, Vector<T>& rest) {
  Whole<T> whole = __builtin_convertvector(v, Whole<T>);
  whole += v < __builtin_convertvector(whole, Vector<T>);  // comparisons give -1
  rest = v - __builtin_convertvector(whole, Vector<T>);
  return whole;
}

template <typename T>
void corners(const Taps<T>& t, std::int64_t n, Index<T> units, Index<T> nowhere) {
  using V = Vector<T>;
  using W = Whole<T>;
  for (std::int64_t i = 0; i < n; i += kLanes<T>) {
    V x, y, w, h, fx, fy;
    unzip(t.places + 2 * i, x, y);
    unzip(t.sizes + 2 * i, w, h);
    const W inside = (x > T{-1}) & (x < w) & (y > T{-1}) & (y < h);  // not so for what is no number
    const V far = V{} - T{2};
    const W x0 = floor_of<T>(inside ? x : far, fx), y0 = floor_of<T>(inside ? y : far, fy);
    const V weight = inside ? load<V>(t.weight + i) : V{}, below = weight * fy, above = weight * (T{1} - fy);
    store(t.fx + i, fx);
    store(t.fy + i, fy);
    store(t.corner[0] + i, V(above * (T{1} - fx)));
    store(t.corner[1] + i, V(above * fx));
    store(t.corner[2] + i, V(below * (T{1} - fx)));
    store(t.corner[3] + i, V(below * fx));
    const W width = load<W>(t.width + i), height = load<W>(t.height + i), no = W{} + nowhere;
    const W left = (x0 >= 0) & (x0 < width), right = (x0 >= -1) & (x0 + 1 < width);
    const W upper = (y0 >= 0) & (y0 < height), lower = (y0 >= -1) & (y0 + 1 < height);
    const W pitch = load<W>(t.pitch + i), at = load<W>(t.start + i) + y0 * pitch + x0 * units, next = at + pitch;
    store(t.row[0] + i, W((upper & left) ? at : no));
    store(t.row[1] + i, W((upper & right) ? at + units : no));
    store(t.row[2] + i, W((lower & left) ? next : no));
    store(t.row[3] + i, W((lower & right) ? next + units : no));
  }
}

// `values` of each of `count` queries to the second-level cache. Always inlined: GCC takes functions that only prefetch
// for such that do nothing.
[[gnu::always_inline]] inline void prefetch(const Array& array, std::int64_t step, std::int64_t values,
                                            std::int64_t first, std::int64_t count) {
  const std::int64_t size = size_of(array.type);
  const auto* from = static_cast<const char*>(array.data) + first * step * size;
  for (std::int64_t q = 0; q < count; ++q, from += step * size)
    for (std::int64_t byte = 0; byte < values * size; byte += 64) __builtin_prefetch(from + byte, 0, 2);
}

// What queries read once: a head's values lie apart, farther than processors foresee.
[[gnu::always_inline]] inline void prefetch_run(const Head& head, std::int64_t samples, const Run& run) {
  prefetch(head.places, head.places_step, 2 * samples, run.first, run.count);
  prefetch(head.weights, head.weights_step, samples, run.first, run.count);
  if (head.grad != nullptr) prefetch({head.grad, head.out_type}, head.out_step, head.channels, run.first, run.count);
}

// Taps of the run's queries.
template <typename T>
void set_up(const Head& head, const Run* run, Runs runs, const Taps<T>& t) {
  const std::int64_t samples = t.samples, first = run->first, count = run->count, n = count * samples;
  if (run + 1 < runs.end) prefetch_run(head, samples, run[1]);
  for (std::int64_t q = 0; q < count; ++q) {
    read_all(head.places, (first + q) * head.places_step, 2 * samples, t.places + 2 * q * samples);
    read_all(head.weights, (first + q) * head.weights_step, samples, t.weight + q * samples);
  }
  if (head.fused()) {
    if (head.reference_grad != nullptr) std::memcpy(t.offsets, t.places, static_cast<std::size_t>(2 * n) * sizeof(T));
    softmax(t.weight, count, samples);
    for (std::int64_t q = 0; q < count; ++q) place(head, first + q, t.sizes, t.places + 2 * q * samples);
  } else {
    for (std::int64_t i = 0; i < 2 * n; ++i) t.places[i] = t.places[i] * t.sizes[i] - T{0.5};
  }
  corners<T>(t, n, static_cast<Index<T>>(head.units), static_cast<Index<T>>(head.nowhere));
}

}  // namespace
}  // namespace pyseg::deform_attention
