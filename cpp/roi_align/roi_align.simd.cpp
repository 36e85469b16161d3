// The samples of a box, over groups of channels; compiled once per instruction set. No fma: torchvision has none, and
// so the results are its own on each of them.
#include <type_traits>

#include "roi_align/channel.h"
#include "roi_align/kernels.h"
#include "roi_align/layout.h"

namespace pyseg::roi_align::PYSEG_ISA {
namespace {

template <typename T>
using Native = std::conditional_t<std::is_same_v<T, float>, Floats, Doubles>;

template <typename T>
inline Native<T> all(T value) {
  return Native<T>{} + value;
}

// kParts vectors of channels.
template <typename T, int kParts>
void pool_parts(const Box<T>& box, const T* map, std::int64_t width, std::int64_t step, T* out, std::int64_t out_step) {
  using V = Native<T>;
  constexpr std::int64_t kWide = sizeof(V) / sizeof(T);
  const V divisor = all(box.count);
  for (std::int64_t i = 0; i < box.height; ++i) {
    for (std::int64_t j = 0; j < box.width; ++j) {
      V sum[kParts] = {};
      for (std::int32_t k = box.y_start[i]; k < box.y_start[i + 1]; ++k) {
        const Sample<T> y = box.y[k];
        const T *above = map + y.low * width * step, *below = map + y.high * width * step;
        const V y0 = all(y.at_low), y1 = all(y.at_high);
        for (std::int32_t m = box.x_start[j]; m < box.x_start[j + 1]; ++m) {
          const Sample<T>& x = box.x[m];
          const V x0 = all(x.at_low), x1 = all(x.at_high);
          const V w00 = y0 * x0, w01 = y0 * x1, w10 = y1 * x0, w11 = y1 * x1;
          const std::int64_t left = x.low * step, right = x.high * step;
#pragma GCC unroll 16
          for (int p = 0; p < kParts; ++p) {
            const std::int64_t at = p * kWide;
            sum[p] += w00 * load<V>(above + left + at) + w01 * load<V>(above + right + at) +
                      w10 * load<V>(below + left + at) + w11 * load<V>(below + right + at);
          }
        }
      }
      T* bin = out + (i * box.width + j) * out_step;
#pragma GCC unroll 16
      for (int p = 0; p < kParts; ++p) store(bin + p * kWide, sum[p] / divisor);
    }
  }
}

template <typename T>
constexpr int kParts = static_cast<int>(kGroupBytes / sizeof(Native<T>));

template <typename T>
void pool(const Box<T>& box, const T* map, std::int64_t width, std::int64_t step, int groups, T* out,
          std::int64_t out_step) {
  if (groups == 4) pool_parts<T, 4 * kParts<T>>(box, map, width, step, out, out_step);
  else if (groups == 2) pool_parts<T, 2 * kParts<T>>(box, map, width, step, out, out_step);
  else pool_parts<T, kParts<T>>(box, map, width, step, out, out_step);
}

template <typename T, bool kExact>
void spread_of(const Box<T>& box, const T* gradient, std::int64_t in_step, T* map, std::int64_t width,
               std::int64_t step) {
  using V = Native<T>;
  constexpr std::int64_t kWide = sizeof(V) / sizeof(T);
  // Products with an exact inverse are the quotients.
  const V divisor = all(box.count), inverse = all(T(1) / box.count);
  const auto share = [&](const V& v) { return kExact ? v * inverse : v / divisor; };
  for (std::int64_t i = 0; i < box.height; ++i) {
    for (std::int64_t j = 0; j < box.width; ++j) {
      V g[kParts<T>];
      for (int p = 0; p < kParts<T>; ++p) g[p] = load<V>(gradient + (i * box.width + j) * in_step + p * kWide);
      for (std::int32_t k = box.y_start[i]; k < box.y_start[i + 1]; ++k) {
        const Sample<T> y = box.y[k];
        T *above = map + y.low * width * step, *below = map + y.high * width * step;
        for (std::int32_t m = box.x_start[j]; m < box.x_start[j + 1]; ++m) {
          const Sample<T>& x = box.x[m];
          const V w00 = all(y.at_low * x.at_low), w01 = all(y.at_low * x.at_high);
          const V w10 = all(y.at_high * x.at_low), w11 = all(y.at_high * x.at_high);
          const std::int64_t left = x.low * step, right = x.high * step;
          // One after the other: at the border they are one pixel.
          const auto add = [&](T* pixel, const V& w) {
#pragma GCC unroll 16
            for (int p = 0; p < kParts<T>; ++p) store(pixel + p * kWide, load<V>(pixel + p * kWide) + share(g[p] * w));
          };
          add(above + left, w00);
          add(above + right, w01);
          add(below + left, w10);
          add(below + right, w11);
        }
      }
    }
  }
}

template <typename T>
void spread(const Box<T>& box, const T* gradient, std::int64_t in_step, T* map, std::int64_t width, std::int64_t step) {
  const T inverse = T(1) / box.count;
  const auto n = box.count < T(65536) ? static_cast<std::int32_t>(box.count) : 0;
  const bool exact = n > 0 && (n & (n - 1)) == 0 && inverse > T(0);
  if (exact) spread_of<T, true>(box, gradient, in_step, map, width, step);
  else spread_of<T, false>(box, gradient, in_step, map, width, step);
}

template <typename T>
constexpr KernelsOf<T> kAll = {&gather<T>, &scatter<T>,      &widen<T>,          &narrow<T>,       &pool<T>,
                               &spread<T>, &pool_channel<T>, &spread_channel<T>, &store_channel<T>};

constexpr Kernels kTable = {kAll<float>, kAll<double>};

}  // namespace

const Kernels* kernels() { return &kTable; }

}  // namespace pyseg::roi_align::PYSEG_ISA
