// The inner loops over the channels of pixels (channels_last).
//
// A block of R pixels of results, one dilation apart in a row, takes R + KW - 1 pixels of each row of inputs. For a
// vector of channels, a row's KW weights are loaded once a block: 3x3, R = 4: 27 loads for 36 multiplications, and 42
// for 72 where two rows of results are done at once. Lines out of the second-level cache bound it. Nothing
// is copied: columns outside the image are left out, a tail of channels is done by a vector that overlaps the one
// before.
#include "depthwise_conv/kernels.h"
#include "depthwise_conv/lanes.h"

namespace pyseg::depthwise_conv::PYSEG_ISA {
namespace {

// Where the n-th vector of channels begins.
template <typename A>
inline std::int64_t channel_of(std::int64_t n, std::int64_t channels) {
  const std::int64_t c = n * kLanes<A>;
  return c + kLanes<A> <= channels ? c : channels - kLanes<A>;
}

template <typename A>
inline std::int64_t vectors_of(std::int64_t channels) {
  return (channels + kLanes<A> - 1) / kLanes<A>;
}

// KW = 0: any width of kernel, of blocks of one. Whole: all pixels of inputs are inside the image.
template <typename S, int KW, int R, bool Whole>
void forward_block(const PixelRow& p, const Block& block) {
  using A = Sum<S>;
  using V = Vector<A>;
  constexpr int kColumns = R + KW - 1;
  const A* bias = static_cast<const A*>(p.bias);
  const std::int64_t n = vectors_of<A>(p.channels), step = p.columns.input_step * p.x_pitch, pitch = p.weight_pitch;
  const std::int64_t y_step = p.columns.output_step * p.y_pitch, taps = p.taps, kw = p.kw, channels = p.channels;
  const std::int64_t first = block.input * p.x_pitch;
  S* y = static_cast<S*>(p.y) + block.output * p.y_pitch;
  const int lo = block.lo, hi = block.hi;
  const bool relu = p.relu;
  for (std::int64_t v = 0; v < n; ++v) {
    const std::int64_t c = channel_of<A>(v, channels);
    V sums[R];
    const V start = bias != nullptr ? get(bias + c) : V{};
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sums[r] = start;
    for (std::int64_t t = 0; t < taps; ++t) {
      const S* x = static_cast<const S*>(p.x[t]) + first + c;
      const A* w = static_cast<const A*>(p.weight) + p.ky[t] * kw * pitch + c;
      if constexpr (KW > 0) {
        V kept[KW];
#pragma GCC unroll 8
        for (int k = 0; k < KW; ++k) kept[k] = get(w + k * pitch);
#pragma GCC unroll 10
        for (int i = 0; i < kColumns; ++i) {
          if (!Whole && (i < lo || i >= hi)) continue;
          const V value = get(x + i * step);
#pragma GCC unroll 4
          for (int r = 0; r < R; ++r)
            if (i - r >= 0 && i - r < KW) sums[r] = fma(value, kept[i - r], sums[r]);
        }
      } else {
        for (std::int64_t i = lo; i < hi; ++i) sums[0] = fma(get(x + i * step), get(w + i * pitch), sums[0]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) put(relu ? rectified(sums[r]) : sums[r], y + r * y_step + c);
  }
}

template <typename S, int KW, int R>
void forward_blocks(const PixelRow& p) {
  for (std::int64_t b = 0; b < p.columns.count[R - 1]; ++b) {
    const Block& block = p.columns.of[R - 1][b];
    if (block.lo == 0 && block.hi == R + KW - 1) forward_block<S, KW, R, true>(p, block);
    else forward_block<S, KW, R, false>(p, block);
  }
}

// Two rows of results, one dilation apart: all but their first and last rows of inputs are the same.
template <typename S, int KW, int R, bool Whole>
void pair_block(const PixelRow& p, const Block& block) {
  using A = Sum<S>;
  using V = Vector<A>;
  const A* bias = static_cast<const A*>(p.bias);
  const std::int64_t n = vectors_of<A>(p.channels), step = p.columns.input_step * p.x_pitch, pitch = p.weight_pitch;
  const std::int64_t y_step = p.columns.output_step * p.y_pitch, taps = p.taps, kw = p.kw, channels = p.channels;
  const std::int64_t first = block.input * p.x_pitch;
  S* upper = static_cast<S*>(p.y) + block.output * p.y_pitch;
  S* lower = static_cast<S*>(p.below) + block.output * p.y_pitch;
  const int lo = block.lo, hi = block.hi;
  const bool relu = p.relu;
  for (std::int64_t v = 0; v < n; ++v) {
    const std::int64_t c = channel_of<A>(v, channels);
    V up[R], down[R];
    const V start = bias != nullptr ? get(bias + c) : V{};
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) up[r] = down[r] = start;
    for (std::int64_t t = 0; t < taps; ++t) {
      const S* x = static_cast<const S*>(p.x[t]) + first + c;
      const std::int64_t k_up = p.ky[t], k_down = p.ky[t] - 1;
      const A* w = static_cast<const A*>(p.weight) + c;
      const auto columns = [&](auto to_up, auto to_down) __attribute__((always_inline)) {
        V w_up[KW], w_down[KW];
#pragma GCC unroll 8
        for (int k = 0; k < KW; ++k) {
          if constexpr (to_up.value) w_up[k] = get(w + (k_up * kw + k) * pitch);
          if constexpr (to_down.value) w_down[k] = get(w + (k_down * kw + k) * pitch);
        }
#pragma GCC unroll 10
        for (int i = 0; i < R + KW - 1; ++i) {
          if (!Whole && (i < lo || i >= hi)) continue;
          const V value = get(x + i * step);
#pragma GCC unroll 4
          for (int r = 0; r < R; ++r) {
            if (i - r < 0 || i - r >= KW) continue;
            if constexpr (to_up.value) up[r] = fma(value, w_up[i - r], up[r]);
            if constexpr (to_down.value) down[r] = fma(value, w_down[i - r], down[r]);
          }
        }
      };
      if (k_up < p.kh && k_down >= 0) columns(std::true_type(), std::true_type());
      else if (k_down < 0) columns(std::true_type(), std::false_type());
      else columns(std::false_type(), std::true_type());
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      put(relu ? rectified(up[r]) : up[r], upper + r * y_step + c);
      put(relu ? rectified(down[r]) : down[r], lower + r * y_step + c);
    }
  }
}

template <typename S, int KW, int R>
void pair_blocks(const PixelRow& p) {
  for (std::int64_t b = 0; b < p.columns.count[R - 1]; ++b) {
    const Block& block = p.columns.of[R - 1][b];
    if (block.lo == 0 && block.hi == R + KW - 1) pair_block<S, KW, R, true>(p, block);
    else pair_block<S, KW, R, false>(p, block);
  }
}

template <typename S, int KW>
void forward_row(const PixelRow& p) {
  if (p.below != nullptr) {
    pair_blocks<S, KW, 4>(p);
    pair_blocks<S, KW, 3>(p);
    pair_blocks<S, KW, 2>(p);
    pair_blocks<S, KW, 1>(p);
    return;
  }
  forward_blocks<S, KW, 4>(p);
  forward_blocks<S, KW, 3>(p);
  forward_blocks<S, KW, 2>(p);
  forward_blocks<S, KW, 1>(p);
}

template <typename S>
void forward(const PixelRow& p) {
  if (p.kw == 3) forward_row<S, 3>(p);
  else if (p.kw == 5) forward_row<S, 5>(p);
  else if (p.kw == 7) forward_row<S, 7>(p);
  else forward_blocks<S, 0, 1>(p);
}

// Adds to the sums of a row's taps; `k0`: the first column tap of KW. Sums of the n-th vector of channels are in place
// n: that of a tail is a vector of its own.
template <typename S, int KW, int R, bool Whole>
void weight_block(const PixelRow& p, const Block& block, std::int64_t k0) {
  using A = Sum<S>;
  using V = Vector<A>;
  constexpr int kColumns = R + KW - 1;
  const std::int64_t n = vectors_of<A>(p.channels), step = p.columns.input_step * p.x_pitch, pitch = p.weight_pitch;
  const std::int64_t y_step = p.columns.output_step * p.y_pitch, taps = p.taps, kw = p.kw, channels = p.channels;
  const std::int64_t first = block.input * p.x_pitch + k0 * step;
  const S* y = static_cast<const S*>(p.y) + block.output * p.y_pitch;
  const std::int64_t lo = block.lo - k0, hi = block.hi - k0;
  for (std::int64_t v = 0; v < n; ++v) {
    const std::int64_t c = channel_of<A>(v, channels);
    V g[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) g[r] = get(y + r * y_step + c);
    for (std::int64_t t = 0; t < taps; ++t) {
      const S* x = static_cast<const S*>(p.x[t]) + first + c;
      A* w = static_cast<A*>(p.weight) + (p.ky[t] * kw + k0) * pitch + v * kLanes<A>;
      V sums[KW];
#pragma GCC unroll 8
      for (int k = 0; k < KW; ++k) sums[k] = get(w + k * pitch);
#pragma GCC unroll 10
      for (int i = 0; i < kColumns; ++i) {
        if (!Whole && (i < lo || i >= hi)) continue;
        const V value = get(x + i * step);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
          if (i - r >= 0 && i - r < KW) sums[i - r] = fma(value, g[r], sums[i - r]);
      }
#pragma GCC unroll 8
      for (int k = 0; k < KW; ++k) put(sums[k], w + k * pitch);
    }
  }
}

template <typename S, int KW, int R>
void weight_blocks(const PixelRow& p, std::int64_t k0) {
  for (std::int64_t b = 0; b < p.columns.count[R - 1]; ++b) {
    const Block& block = p.columns.of[R - 1][b];
    if (block.lo <= k0 && block.hi - k0 >= R + KW - 1) weight_block<S, KW, R, true>(p, block, k0);
    else weight_block<S, KW, R, false>(p, block, k0);
  }
}

template <typename S, int KW>
void weight_row(const PixelRow& p) {
  weight_blocks<S, KW, 4>(p, 0);
  weight_blocks<S, KW, 3>(p, 0);
  weight_blocks<S, KW, 2>(p, 0);
  weight_blocks<S, KW, 1>(p, 0);
}

template <typename S>
void weight(const PixelRow& p) {
  if (p.kw == 3) weight_row<S, 3>(p);
  else if (p.kw == 5) weight_row<S, 5>(p);
  else if (p.kw == 7) weight_row<S, 7>(p);
  else
    for (std::int64_t k = 0; k < p.kw; ++k) weight_blocks<S, 1, 1>(p, k);
}

}  // namespace

const PixelKernels* pixel_kernels() {
  static constexpr PixelKernels kernels{{kLanes<float>, kLanes<double>},
                                        {forward<float>, forward<double>, forward<Half>, forward<Brain>},
                                        {weight<float>, weight<double>, weight<Half>, weight<Brain>}};
  return &kernels;
}

}  // namespace pyseg::depthwise_conv::PYSEG_ISA
