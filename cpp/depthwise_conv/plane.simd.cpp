// The inner loops along the rows of a plane. Rows are padded copies (plane.h), so that every load is a whole vector; of
// the results, the last of a row is stored in part.
//
// A block of R rows of results, one dilation apart, takes R + KH - 1 rows of inputs: each vector loaded is multiplied
// by up to min(R, KH) weights. 3x3, R = 4: 18 loads for 36 multiplications. Bound by those, two cycles' worth a vector
// of AVX-512 on processors with 256-bit units, while memory needs as long for the same.
#include "depthwise_conv/kernels.h"
#include "depthwise_conv/lanes.h"

namespace pyseg::depthwise_conv::PYSEG_ISA {
namespace {

// Blocks of R rows of results, in the columns of a segment. KW = 0: any number of column taps.
template <typename A, int KH, int KW, int R>
struct Forward {
  using V = Vector<A>;
  static constexpr std::int64_t kStep = kLanes<A>;
  static constexpr int kLines = R + KH - 1;

  const A* weight;  // of the segment's first tap
  const std::int64_t* tap;
  std::int64_t taps, kw, width, begin, end, line, y_line;
  bool relu;
  V bias;
  V kept[KW > 0 ? KW * KH : 1];  // the results might overwrite what is not copied, as far as the compiler knows

  Forward(const Plane& p, const Segment& segment)
      : weight(static_cast<const A*>(p.weight) + segment.k0),
        tap(p.tap + segment.k0),
        taps(segment.k1 - segment.k0),
        kw(p.kw),
        width(p.width),
        begin(segment.x0),
        end(segment.x1),
        line(p.rows.input_step * p.pitch),
        y_line(p.rows.output_step * p.y_pitch),
        relu(p.relu),
        bias(splat(static_cast<A>(p.bias))) {
#pragma GCC unroll 3
    for (int k = 0; k < KW; ++k)
#pragma GCC unroll 8
      for (int j = 0; j < KH; ++j) kept[k * KH + j] = splat(weight[j * kw + k]);
  }

  // Of the rows of inputs, `Top` first and `Bottom` last ones are outside the image; with Top < 0 those that `inside`
  // says are inside.
  template <int Top, int Bottom>
  __attribute__((always_inline)) inline void add(const A* from, const V* w, unsigned inside, V* sums) const {
#pragma GCC unroll 10
    for (int i = Top < 0 ? 0 : Top; i < kLines - (Top < 0 ? 0 : Bottom); ++i) {
      if (Top < 0 && (inside >> i & 1) == 0) continue;
      const V v = get(from + i * line);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
        if (i - r >= 0 && i - r < KH) sums[r] = fma(v, w[i - r], sums[r]);
    }
  }

  template <int Top, int Bottom>
  __attribute__((always_inline)) inline void rows(const A* x, A* y, unsigned inside) const {
    for (std::int64_t at = begin; at < end; at += kStep) {
      V sums[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sums[r] = bias;
      if constexpr (KW > 0) {
#pragma GCC unroll 3
        for (int k = 0; k < KW; ++k) add<Top, Bottom>(x + tap[k] + at, kept + k * KH, inside, sums);
      } else {
        for (std::int64_t k = 0; k < taps; ++k) {
          V w[KH];
#pragma GCC unroll 8
          for (int j = 0; j < KH; ++j) w[j] = splat(weight[j * kw + k]);
          add<Top, Bottom>(x + tap[k] + at, w, inside, sums);
        }
      }
      const bool whole = at + kStep <= width;
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const V result = relu ? rectified(sums[r]) : sums[r];
        if (whole) put(result, y + r * y_line + at);
        else put_part<A>(result, y + r * y_line + at, width - at);
      }
    }
  }

  void run(const Plane& p) const {
    for (std::int64_t b = 0; b < p.rows.count[R - 1]; ++b) {
      const Block& block = p.rows.of[R - 1][b];
      const A* x = static_cast<const A*>(p.x) + block.input * p.pitch;
      A* y = static_cast<A*>(p.y) + block.output * p.y_pitch;
      const unsigned inside = (1u << block.hi) - (1u << block.lo);
      constexpr bool kCuts = KH == 3 && KW > 0 && sizeof(A) == 4;  // kernels of padding that keeps the size
      if (block.lo == 0 && block.hi == kLines) rows<0, 0>(x, y, inside);
      else if (kCuts && block.lo == 1 && block.hi == kLines - 1) rows<kCuts, kCuts>(x, y, inside);
      else if (kCuts && block.lo == 1 && block.hi == kLines) rows<kCuts, 0>(x, y, inside);
      else if (kCuts && block.lo == 0 && block.hi == kLines - 1) rows<0, kCuts>(x, y, inside);
      else rows<-1, 0>(x, y, inside);
    }
  }
};

// Any height of kernel, a row of results at a time.
template <typename A>
void forward_any(const Plane& p, const Segment& segment, const Block& block) {
  using V = Vector<A>;
  constexpr std::int64_t lanes = kLanes<A>;
  constexpr int kVectors = 4;
  const A* weight = static_cast<const A*>(p.weight);
  const A* x = static_cast<const A*>(p.x) + block.input * p.pitch;
  A* y = static_cast<A*>(p.y) + block.output * p.y_pitch;
  const std::int64_t line = p.rows.input_step * p.pitch;
  const auto vectors = [&]<int N>(std::int64_t at) {
    V sums[N];
    for (int v = 0; v < N; ++v) sums[v] = splat(static_cast<A>(p.bias));
    for (std::int64_t k = segment.k0; k < segment.k1; ++k)
      for (std::int64_t j = block.lo; j < block.hi; ++j) {
        const V w = splat(weight[j * p.kw + k]);
        const A* from = x + j * line + p.tap[k] + at;
        for (int v = 0; v < N; ++v) sums[v] = fma(get(from + v * lanes), w, sums[v]);
      }
    for (int v = 0; v < N; ++v) {
      if (p.relu) sums[v] = rectified(sums[v]);
      const std::int64_t left = p.width - (at + v * lanes);
      if (left >= lanes) put(sums[v], y + at + v * lanes);
      else put_part<A>(sums[v], y + at + v * lanes, left);
    }
  };
  std::int64_t at = segment.x0;
  for (; at + kVectors * lanes <= segment.x1; at += kVectors * lanes) vectors.template operator()<kVectors>(at);
  for (; at < segment.x1; at += lanes) vectors.template operator()<1>(at);
}

template <typename A, int KH, int KW>
void forward_segment(const Plane& p, const Segment& segment) {
  Forward<A, KH, KW, 4>(p, segment).run(p);
  Forward<A, KH, KW, 3>(p, segment).run(p);
  Forward<A, KH, KW, 2>(p, segment).run(p);
  Forward<A, KH, KW, 1>(p, segment).run(p);
}

template <typename A>
void forward(const Plane& p) {
  for (std::int64_t s = 0; s < p.segment_count; ++s) {
    const Segment& segment = p.segments[s];
    const std::int64_t taps = segment.k1 - segment.k0;
    if (p.kh == 3 && taps == 3) forward_segment<A, 3, 3>(p, segment);
    else if (p.kh == 3 && taps == 2) forward_segment<A, 3, 2>(p, segment);
    else if (p.kh == 3 && taps == 1) forward_segment<A, 3, 1>(p, segment);
    else if (p.kh == 3) forward_segment<A, 3, 0>(p, segment);
    else if (p.kh == 5) forward_segment<A, 5, 0>(p, segment);
    else if (p.kh == 7) forward_segment<A, 7, 0>(p, segment);
    else
      for (std::int64_t b = 0; b < p.rows.count[0]; ++b) forward_any<A>(p, segment, p.rows.of[0][b]);
  }
}

// Sums over blocks of KH x KW taps, from column tap k0 and row tap j0 on, in vectors that stay in registers.
template <typename A, int KH, int KW>
struct WeightSums {
  using V = Vector<A>;
  V sums[KH * KW] = {};

  template <int R, bool Whole>
  void block(const Plane& p, const Segment& segment, const Block& block, const std::int64_t* tap, std::int64_t j0) {
    constexpr std::int64_t lanes = kLanes<A>;
    const std::int64_t line = p.rows.input_step * p.pitch, y_line = p.rows.output_step * p.y_pitch;
    const A* x = static_cast<const A*>(p.x) + block.input * p.pitch + j0 * line;
    const A* y = static_cast<const A*>(p.y) + block.output * p.y_pitch;
    const std::int64_t lo = block.lo - j0, hi = block.hi - j0, end = segment.x1, width = p.width;
    const A* column[KW];
#pragma GCC unroll 3
    for (int k = 0; k < KW; ++k) column[k] = x + tap[k];
    for (std::int64_t at = segment.x0; at < end; at += lanes) {
      V g[R];
      if (at + lanes <= width) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) g[r] = get(y + r * y_line + at);
      } else {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) g[r] = get_part<A>(y + r * y_line + at, width - at);
      }
#pragma GCC unroll 10
      for (int i = 0; i < R + KH - 1; ++i) {
        if (!Whole && (i < lo || i >= hi)) continue;
#pragma GCC unroll 3
        for (int k = 0; k < KW; ++k) {
          const V v = get(column[k] + i * line + at);
#pragma GCC unroll 4
          for (int r = 0; r < R; ++r)
            if (i - r >= 0 && i - r < KH) sums[(i - r) * KW + k] = fma(v, g[r], sums[(i - r) * KW + k]);
        }
      }
    }
  }

  template <int R>
  void blocks(const Plane& p, const Segment& segment, std::int64_t k0, std::int64_t j0) {
    for (std::int64_t b = 0; b < p.rows.count[R - 1]; ++b) {
      const Block& at = p.rows.of[R - 1][b];
      if (at.lo <= j0 && at.hi - j0 >= R + KH - 1) block<R, true>(p, segment, at, p.tap + k0, j0);
      else block<R, false>(p, segment, at, p.tap + k0, j0);
    }
  }

  void run(const Plane& p, const Segment& segment, std::int64_t k0, std::int64_t j0) {
    blocks<1>(p, segment, k0, j0);
    if constexpr (KH > 1) {
      blocks<2>(p, segment, k0, j0);
      blocks<3>(p, segment, k0, j0);
      blocks<4>(p, segment, k0, j0);
    }
    A* weight = static_cast<A*>(p.weight) + j0 * p.kw + k0;
    for (int j = 0; j < KH; ++j)
      for (int k = 0; k < KW; ++k) weight[j * p.kw + k] += total<A>(sums[j * KW + k]);
  }
};

template <typename A, int KH>
void weight_columns(const Plane& p, const Segment& segment) {
  for (std::int64_t k = segment.k0; k < segment.k1; ++k) WeightSums<A, KH, 1>().run(p, segment, k, 0);
}

template <typename A>
void weight(const Plane& p) {
  for (std::int64_t s = 0; s < p.segment_count; ++s) {
    const Segment& segment = p.segments[s];
    const std::int64_t taps = segment.k1 - segment.k0;
    if (p.kh == 3 && taps == 3) WeightSums<A, 3, 3>().run(p, segment, segment.k0, 0);
    else if (p.kh == 3 && taps == 2) WeightSums<A, 3, 2>().run(p, segment, segment.k0, 0);
    else if (p.kh == 3) weight_columns<A, 3>(p, segment);
    else if (p.kh == 5) weight_columns<A, 5>(p, segment);
    else if (p.kh == 7) weight_columns<A, 7>(p, segment);
    else
      for (std::int64_t j = 0; j < p.kh; ++j)
        for (std::int64_t k = segment.k0; k < segment.k1; ++k) WeightSums<A, 1, 1>().run(p, segment, k, j);
  }
}

}  // namespace

const PlaneKernels* plane_kernels() {
  static constexpr PlaneKernels kernels{
      {kLanes<float>, kLanes<double>}, {forward<float>, forward<double>}, {weight<float>, weight<double>}};
  return &kernels;
}

}  // namespace pyseg::depthwise_conv::PYSEG_ISA
