// Backward: dots of the output's gradient with four rows a sample, of which the gradients of places and weights are
// made; and that gradient, weighted, added to four rows of sums.
#include "deform_attention/rows.h"
#include "deform_attention/taps.h"

namespace pyseg::deform_attention::PYSEG_ISA {
namespace {

using FourFloats = float __attribute__((vector_size(16)));
using FourDoubles = double __attribute__((vector_size(32)));

// Sums of a block's lanes that are equal modulo 4, lane i + half of the block first.
inline FourFloats fold(const Floats* v) {
#if defined(__AVX512F__)
  const auto eight = __builtin_shufflevector(v[0], v[0], 0, 1, 2, 3, 4, 5, 6, 7) +
                     __builtin_shufflevector(v[0], v[0], 8, 9, 10, 11, 12, 13, 14, 15);
  return __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#elif defined(__AVX2__)
  const Floats eight = v[0] + v[1];
  return __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}
inline FourDoubles fold(const Doubles* v) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(v[0], v[0], 0, 1, 2, 3) + __builtin_shufflevector(v[0], v[0], 4, 5, 6, 7);
#elif defined(__AVX2__)
  return v[0] + v[1];
#else
  return __builtin_shufflevector(v[0] + v[2], v[1] + v[3], 0, 1, 2, 3);
#endif
}

// Sums of the lanes of each.
template <typename Four>
inline Four sums(Four a, Four b, Four c, Four d) {
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 2, 6) + __builtin_shufflevector(a, b, 1, 5, 3, 7);
  const Four cd = __builtin_shufflevector(c, d, 0, 4, 2, 6) + __builtin_shufflevector(c, d, 1, 5, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// Of the samples of one query. Blocks = 0: as many as `blocks` says.
template <int Blocks, typename T, typename Rows>
void dot(const Taps<T>& t, std::int64_t from, std::int64_t blocks, const Rows& rows, const T* grad) {
  constexpr std::int64_t kSize = kRowBytes / static_cast<int>(sizeof(T));
  const std::int64_t count = (Blocks > 0 ? Blocks : blocks) * kSize;
  for (std::int64_t i = from; i < from + t.samples; ++i) {
    Vector<T> sum[4][kVectors]{};
    const auto *r0 = rows(t.row[0][i]), *r1 = rows(t.row[1][i]), *r2 = rows(t.row[2][i]), *r3 = rows(t.row[3][i]);
    for (std::int64_t c = 0; c < count; c += kSize)
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t at = c + v * kLanes<T>;
        const Vector<T> g = load<Vector<T>>(grad + at);
        sum[0][v] += g * read<T>(r0 + at);
        sum[1][v] += g * read<T>(r1 + at);
        sum[2][v] += g * read<T>(r2 + at);
        sum[3][v] += g * read<T>(r3 + at);
      }
    store(t.dots + 4 * i, sums(fold(sum[0]), fold(sum[1]), fold(sum[2]), fold(sum[3])));
  }
}

// From dots to gradients: of pixels into `places`, of weights into `out`.
template <typename T>
void differentiate(const Taps<T>& t, std::int64_t n, T* __restrict out) {
  const T* __restrict dots = t.dots, * __restrict fx = t.fx, * __restrict fy = t.fy, * __restrict weight = t.weight;
  T* __restrict places = t.places;
  for (std::int64_t i = 0; i < n; ++i) {
    const T d0 = dots[4 * i], d1 = dots[4 * i + 1], d2 = dots[4 * i + 2], d3 = dots[4 * i + 3];
    const T x = fx[i], y = fy[i], left = T{1} - x, top = T{1} - y;
    places[2 * i] = weight[i] * ((d1 - d0) * top + (d3 - d2) * y);
    places[2 * i + 1] = weight[i] * ((d2 - d0) * left + (d3 - d1) * x);
    out[i] = (d0 * left + d1 * x) * top + (d2 * left + d3 * x) * y;
  }
}

// Gradients of one query's offsets from those of pixels, in place; of its reference points, where they are wanted.
template <typename T>
void of_offsets(const Head& head, std::int64_t query, const T* sizes, const T* offsets, T* places) {
  const T share = T{0.5} / static_cast<T>(head.points);
  T* to =
      head.reference_grad == nullptr ? nullptr : static_cast<T*>(head.reference_grad) + query * head.levels * head.box;
  for (std::int64_t l = 0; l < head.levels; ++l) {
    T box[4];
    read_all(head.reference, query * head.reference_step + l * head.box, head.box, box);
    for (int axis = 0; axis < 2; ++axis) {
      const T size = sizes[2 * l * head.points + axis];
      T moved = 0, grown = 0;
      for (std::int64_t p = 0; p < head.points; ++p) {
        const std::int64_t at = 2 * (l * head.points + p) + axis;
        moved += places[at];
        if (head.box == 2) continue;
        if (to != nullptr) grown += places[at] * offsets[at];
        places[at] *= box[2 + axis] * size * share;
      }
      if (to == nullptr) continue;
      to[l * head.box + axis] = moved * size;
      if (head.box == 4) to[l * head.box + 2 + axis] = grown * size * share;
    }
  }
}

// The softmax's, of one query, in place.
template <typename T>
void of_logits(const T* weight, std::int64_t samples, T* grad) {
  T mean = 0;
  for (std::int64_t i = 0; i < samples; ++i) mean += weight[i] * grad[i];
  for (std::int64_t i = 0; i < samples; ++i) grad[i] = weight[i] * (grad[i] - mean);
}

// Channels of a row of the output's gradient, padded.
template <typename T>
void read_grad(const Head& head, std::int64_t query, T* row) {
  read_all(Array{head.grad, head.out_type}, query * head.out_step, head.channels, row);
  const std::int64_t size = head.blocks * (kRowBytes / static_cast<int>(sizeof(T)));
  for (std::int64_t c = head.channels; c < size; ++c) row[c] = 0;
}

template <typename T>
void run_points(const Head& head, Runs runs, std::byte* scratch) {
  T* row = reinterpret_cast<T*>(scratch);
  const Taps<T> t = make_taps<T>(head, scratch + head.blocks * kRowBytes);
  const std::int64_t samples = t.samples;
  T *places = static_cast<T*>(head.places_grad), *weights = static_cast<T*>(head.weights_grad);
  with_rows<T>(head, [&](const auto& rows) {
    for (const Run* r = runs.begin; r != runs.end; ++r) {
      const std::int64_t q = r->first, count = r->count, n = count * samples;
      set_up(head, r, runs, t);
      for (std::int64_t i = 0; i < count; ++i) {
        read_grad(head, q + i, row);
        if (head.blocks == 1) dot<1>(t, i * samples, 1, rows, row);
        else if (head.blocks == 2) dot<2>(t, i * samples, 2, rows, row);
        else dot<0>(t, i * samples, head.blocks, rows, row);
      }
      T* grad = t.corner[0];  // done with
      differentiate(t, n, grad);
      if (!head.fused())
        for (std::int64_t i = 0; i < 2 * n; ++i) t.places[i] *= t.sizes[i];
      for (std::int64_t i = 0; i < count; ++i) {
        T *p = t.places + 2 * i * samples, *w = grad + i * samples;
        if (head.fused()) {
          of_offsets(head, q + i, t.sizes, t.offsets + 2 * i * samples, p);
          of_logits(t.weight + i * samples, samples, w);
        }
        const auto bytes = static_cast<std::size_t>(samples) * sizeof(T);
        if (places != nullptr) std::memcpy(places + (q + i) * head.places_step, p, 2 * bytes);
        if (weights != nullptr) std::memcpy(weights + (q + i) * head.weights_step, w, bytes);
      }
    }
  });
}

template <int Blocks, typename T>
void spread(const Taps<T>& t, std::int64_t from, const T* grad, T* sums) {
  constexpr int kCount = Blocks * kVectors;
  Vector<T> g[kCount];
  for (int v = 0; v < kCount; ++v) g[v] = load<Vector<T>>(grad + v * kLanes<T>);
  for (std::int64_t i = from; i < from + t.samples; ++i)
    for (int corner = 0; corner < 4; ++corner) {
      T* to = sums + static_cast<std::int64_t>(t.row[corner][i]) * (kRowBytes / static_cast<int>(sizeof(T)));
      const T weight = t.corner[corner][i];
      for (int v = 0; v < kCount; ++v)
        store(to + v * kLanes<T>, Vector<T>(load<Vector<T>>(to + v * kLanes<T>) + weight * g[v]));
    }
}

template <typename T>
void run_rows(const Head& head, Runs runs, std::int64_t first, std::int64_t last, T* sums, std::byte* scratch) {
  T* row = reinterpret_cast<T*>(scratch);
  const Taps<T> t = make_taps<T>(head, scratch + head.blocks * kRowBytes);
  constexpr std::int64_t size = kRowBytes / static_cast<int>(sizeof(T));
  for (const Run* r = runs.begin; r != runs.end; ++r) {
    set_up(head, r, runs, t);
    for (std::int64_t i = 0; i < r->count; ++i) {
      read_grad(head, r->first + i, row);
      panels<2>(first, last, [&]<int Blocks>(std::int64_t block) {
        spread<Blocks>(t, i * t.samples, row + block * size, sums + block * size);
      });
    }
  }
}

void points(const Head& head, bool wide, Runs runs, std::byte* scratch) {
  if (wide) run_points<double>(head, runs, scratch);
  else run_points<float>(head, runs, scratch);
}

void rows(const Head& head, bool wide, Runs runs, std::int64_t first, std::int64_t last, void* sums,
          std::byte* scratch) {
  if (wide) run_rows(head, runs, first, last, static_cast<double*>(sums), scratch);
  else run_rows(head, runs, first, last, static_cast<float*>(sums), scratch);
}

}  // namespace

const BackwardKernels* backward_kernels() {
  static constexpr BackwardKernels table{points, rows};
  return &table;
}

}  // namespace pyseg::deform_attention::PYSEG_ISA
