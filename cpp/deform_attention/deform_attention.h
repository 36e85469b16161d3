// Multi-scale deformable attention (Zhu et al., "Deformable DETR", ICLR 2021, section 4.1): each query and head takes a
// weighted sum of a few bilinear samples of feature maps of several sizes.
//
//   out[b, q, m] = sum over levels l, points p of weight[b, q, m, l, p] * sample(value of level l, head m; at pixel (x,
//   y))
//
// A location (u, v) of a map of height h and width w is the pixel x = u * w - 0.5, y = v * h - 0.5. Corners outside the
// map count as zero; a location that is a pixel or more outside, or no number, gives nothing and has no gradient.
//
// Layout: a head of `value` is first copied to rows [S + 1][D padded to 64 bytes], of which the last is zero and stands
// for every corner outside: the natural layout keeps a head's channels 4 * M * D bytes apart from pixel to pixel, which
// leaves an eighth of the sets of a cache for them. Then a range of queries of that head is worked on; the rows that
// neighbouring queries touch stay in the second-level cache. Heads are taken in turn, as many at once as there are
// threads. Where queries are fewer than rows (a decoder), `value` is read where it is.
//
// Bound by loads: four rows a point, out of the first- and second-level caches.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"

namespace pyseg::deform_attention {

enum class Float { f32, f64, bf16, f16 };

inline std::int64_t size_of(Float type) { return type == Float::f64 ? 8 : type == Float::f32 ? 4 : 2; }

// Contiguous.
struct Array {
  const void* data = nullptr;
  Float type = Float::f32;
};

struct Level {
  std::int64_t height, width, start;  // start: its first pixel in `value`
};

// Everything is computed in float64 where `value` is, in float32 otherwise.
struct Problem {
  std::int64_t batch, pixels, heads, channels, queries, points;  // points: of one level
  std::vector<Level> levels;
  Array value;    // [B, S, M, D]
  Array places;   // [B, Q, M, L, P, 2]: locations (x, y) in 0 .. 1; with `reference`, offsets
  Array weights;  // [B, Q, M, L, P]: with `reference`, their logits
  // [B, Q, L, box], null data for none. box = 2: locations are reference + offset / (w, h); box = 4, (x, y, w, h):
  // reference's centre + offset / points * half its size.
  Array reference;
  std::int64_t box = 2;

  std::int64_t samples() const { return static_cast<std::int64_t>(levels.size()) * points; }
  bool fused() const { return reference.data != nullptr; }
};

using Shape = std::vector<std::int64_t>;

// Without data. `reference`: empty for none. `shapes` [L, 2] of (height, width); `starts` [L], or null: levels one
// after the other, which must then be all of value's pixels. Throws where anything does not fit.
Problem make_problem(const Shape& value, const Shape& places, const Shape& weights, const Shape& reference,
                     const std::int64_t* shapes, const std::int64_t* starts, std::int64_t levels);

// float64 is not mixed with other types; all others are.
void check_types(const Problem& problem);

// out [B, Q, M, D] of value's type. Any number of threads and any instruction set give the same bits.
void forward(const Problem& problem, const Executor& executor, void* out);

// Null: not wanted. `value` is of value's type; the others are float64 where that is, and float32 otherwise.
struct Gradients {
  void* value;
  void* places;
  void* weights;
  void* reference;  // only together with `places`
};

// grad [B, Q, M, D] of value's type. A head's gradient is summed by one thread, in the order of the queries.
void backward(const Problem& problem, const void* grad, const Executor& executor, const Gradients& out);

}  // namespace pyseg::deform_attention
