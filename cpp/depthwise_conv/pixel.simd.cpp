// The inner loops over the channels of pixels (channels_last).
//
// A block of R pixels of results, one dilation apart in a row, takes R + KW - 1 pixels of each row of inputs. For a
// vector of channels, a row's KW weights are loaded once a block: 3x3, R = 4: 27 loads for 36 multiplications. Nothing
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

// KW = 0: any width of kernel, of blocks of one.
template <typename S, int KW, int R>
void forward_blocks(const PixelRow& p) {
  using A = Sum<S>;
  using V = Vector<A>;
  constexpr int kColumns = R + KW - 1;
  const A* weight = static_cast<const A*>(p.weight);
  const A* bias = static_cast<const A*>(p.bias);
  const std::int64_t n = vectors_of<A>(p.channels), step = p.columns.input_step * p.x_pitch;
  for (std::int64_t b = 0; b < p.columns.count[R - 1]; ++b) {
    const Block& block = p.columns.of[R - 1][b];
    const std::int64_t first = block.input * p.x_pitch;
    S* y = static_cast<S*>(p.y) + block.output * p.y_pitch;
    const int lo = block.lo, hi = block.hi;
    for (std::int64_t v = 0; v < n; ++v) {
      const std::int64_t c = channel_of<A>(v, p.channels);
      V sums[R];
      for (int r = 0; r < R; ++r) sums[r] = bias != nullptr ? get(bias + c) : V{};
      for (std::int64_t t = 0; t < p.taps; ++t) {
        const S* x = static_cast<const S*>(p.x[t]) + first + c;
        const A* w = weight + p.ky[t] * p.kw * p.weight_pitch + c;
        if constexpr (KW > 0) {
          V kept[KW];
          for (int k = 0; k < KW; ++k) kept[k] = get(w + k * p.weight_pitch);
          for (int i = 0; i < kColumns; ++i) {
            if (i < lo || i >= hi) continue;
            const V value = get(x + i * step);
            for (int r = 0; r < R; ++r)
              if (i - r >= 0 && i - r < KW) sums[r] = fma(value, kept[i - r], sums[r]);
          }
        } else {
          for (std::int64_t i = lo; i < hi; ++i) sums[0] = fma(get(x + i * step), get(w + i * p.weight_pitch), sums[0]);
        }
      }
      for (int r = 0; r < R; ++r)
        put(p.relu ? rectified(sums[r]) : sums[r], y + r * p.columns.output_step * p.y_pitch + c);
    }
  }
}

template <typename S, int KW>
void forward_row(const PixelRow& p) {
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
template <typename S, int KW, int R>
void weight_blocks(const PixelRow& p, std::int64_t k0) {
  using A = Sum<S>;
  using V = Vector<A>;
  constexpr int kColumns = R + KW - 1;
  const std::int64_t n = vectors_of<A>(p.channels), step = p.columns.input_step * p.x_pitch;
  for (std::int64_t b = 0; b < p.columns.count[R - 1]; ++b) {
    const Block& block = p.columns.of[R - 1][b];
    const std::int64_t first = block.input * p.x_pitch + k0 * step;
    const S* y = static_cast<const S*>(p.y) + block.output * p.y_pitch;
    const std::int64_t lo = block.lo - k0, hi = block.hi - k0;
    for (std::int64_t v = 0; v < n; ++v) {
      const std::int64_t c = channel_of<A>(v, p.channels);
      V g[R];
      for (int r = 0; r < R; ++r) g[r] = get(y + r * p.columns.output_step * p.y_pitch + c);
      for (std::int64_t t = 0; t < p.taps; ++t) {
        const S* x = static_cast<const S*>(p.x[t]) + first + c;
        A* w = static_cast<A*>(p.weight) + (p.ky[t] * p.kw + k0) * p.weight_pitch + v * kLanes<A>;
        V sums[KW];
        for (int k = 0; k < KW; ++k) sums[k] = get(w + k * p.weight_pitch);
        for (int i = 0; i < kColumns; ++i) {
          if (i < lo || i >= hi) continue;
          const V value = get(x + i * step);
          for (int r = 0; r < R; ++r)
            if (i - r >= 0 && i - r < KW) sums[i - r] = fma(value, g[r], sums[i - r]);
        }
        for (int k = 0; k < KW; ++k) put(sums[k], w + k * p.weight_pitch);
      }
    }
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
