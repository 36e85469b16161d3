// Quick shift's densities, compiled once per instruction set; see field.h.
//
// Half of the window is enough: the weight of a pair goes to both of its pixels, to the first one's sum in a register
// and to the second one's in memory. What bounds it: 27 vector operations for a vector of pairs of three channels, of
// which 14 are the exponential. The columns of the window are the outer loop and its rows the inner one, because a sum
// that is loaded right after it was stored a pixel further would stall.
#include "quickshift/lanes.h"

namespace pyseg::quickshift::PYSEG_ISA {
namespace {

// The pairs of the pixels at (y, x), ..., with those of rows [first, last) and columns x + [low, high].
template <typename T, int Channels>
inline Ints<T> pairs(const Field<T>& field, const Gaussian<T>& gaussian, std::int64_t y, std::int64_t x,
                     std::int64_t first, std::int64_t last, std::int64_t low, std::int64_t high, Key<T>* density) {
  const Pixels<T, Channels> pixels(field, field.planes + y * field.stride + x);
  const Reals<T> factor = Reals<T>{} + gaussian.factor;
  const std::int64_t stride = field.stride, table = field.window_x + 1;
  Ints<T> sum{};
  for (std::int64_t dx = low; dx <= high; ++dx) {
    const T* other = field.planes + first * stride + x + dx;
    const T* space = gaussian.space + (first - y) * table + (dx < 0 ? -dx : dx);
    Key<T>* its = density + first * stride + x + dx;
    for (std::int64_t left = last - first; left > 0; --left) {
      const Ints<T> weight = nearest<T>(power<T>(pixels.distance(other) * factor + *space));
      sum += weight;
      store(its, load<Ints<T>>(its) + weight);
      other += stride, space += table, its += stride;
    }
  }
  return sum;
}

template <typename T, int Channels>
void rows(const Field<T>& field, const Gaussian<T>& gaussian, std::int64_t begin, std::int64_t end, Key<T>* density) {
  density -= begin * field.stride;
  for (std::int64_t y = begin; y < end; ++y) {
    const std::int64_t last = y + field.window_y < field.height ? y + field.window_y + 1 : field.height;
    for (std::int64_t x = 0; x < field.width; x += kLanes<T>) {
      Ints<T> sum = pairs<T, Channels>(field, gaussian, y, x, y, y + 1, 1, field.window_x, density);
      sum += pairs<T, Channels>(field, gaussian, y, x, y + 1, last, -field.window_x, field.window_x, density);
      Key<T>* out = density + y * field.stride + x;
      store(out, load<Ints<T>>(out) + sum);
    }
  }
}

template <typename T>
void by_pairs(const Field<T>& field, const Gaussian<T>& gaussian, std::int64_t begin, std::int64_t end,
              Key<T>* density) {
  switch (field.channels) {
    case 1:
      return rows<T, 1>(field, gaussian, begin, end, density);
    case 3:
      return rows<T, 3>(field, gaussian, begin, end, density);
    default:
      return rows<T, kAny>(field, gaussian, begin, end, density);
  }
}

// As many floats as there are lanes of doubles. Several vectors at a time, because a sum waits for the one before it.
constexpr int kHalf = kLanes<double>, kChains = 4;
static_assert(kHalf * kChains <= kMargin);
typedef float Halves __attribute__((vector_size(sizeof(float) * kHalf)));

#if defined(__AVX512DQ__)
inline Reals<double> widen(Halves v) { return _mm512_cvtps_pd(v); }
inline Halves narrow(Reals<double> v) { return _mm512_cvtpd_ps(v); }
#elif defined(__AVX2__)
inline Reals<double> widen(Halves v) { return _mm256_cvtps_pd(v); }
inline Halves narrow(Reals<double> v) { return _mm256_cvtpd_ps(v); }
#else
inline Reals<double> widen(Halves v) { return __builtin_convertvector(v, Reals<double>); }
inline Halves narrow(Reals<double> v) { return __builtin_convertvector(v, Halves); }
#endif

// exp(v) for v <= 0 to 0.6 of the last bit: in flat areas a last bit more can round a thousand sums to the other side.
// e^r = 1 + r + r^2 q(r) for |r| <= log(2) / 2, q minimax of degree 9. What is less than e^-138 changes no sum.
inline Reals<double> exponential(Reals<double> v) {
  constexpr double kLog2e = 1.4426950408889634, kLn2 = 0x1.62e42feep-1, kLn2Rest = 1.9082149292705877e-10;
  constexpr double kOdd[] = {2.510038549551032e-08, 2.7557268459997064e-06, 0.00019841269863053618,
                             0.008333333333330062, 0.16666666666666669};
  constexpr double kEven[] = {2.7620088445409746e-07, 2.4801521295954376e-05, 0.0013888888917213717,
                              0.04166666666662413, 0.5000000000000001};
  using L = Lanes<double>;
  v = larger(v, Reals<double>{} - 138.0);
  const Reals<double> rounded = v * kLog2e + L::kRound, n = rounded - L::kRound;
  const Reals<double> r = (v - n * kLn2) - n * kLn2Rest, r2 = r * r;
  Reals<double> odd = Reals<double>{} + kOdd[0], even = Reals<double>{} + kEven[0];
  for (int i = 1; i < 5; ++i) {
    odd = odd * r2 + kOdd[i];
    even = even * r2 + kEven[i];
  }
  const Reals<double> p = (r + r2 * (odd * r + even)) + 1.0;
  return reinterpret_cast<Reals<double>>(reinterpret_cast<Ints<double>>(p) +
                                         (reinterpret_cast<Ints<double>>(rounded) << L::kMantissa));
}

template <int Channels>
void rounded_row(const Field<float>& field, float factor, std::int64_t row, const double* noise,
                 std::int32_t* density) {
  const std::int64_t channels = Channels == kAny ? field.channels : Channels;
  const std::int64_t first = row > field.window_y ? row - field.window_y : 0;
  const std::int64_t last = row + field.window_y < field.height ? row + field.window_y + 1 : field.height;
  for (std::int64_t x = 0; x < field.width; x += kChains * kHalf) {
    const float* at = field.planes + row * field.stride + x;
    float start[kChains * kHalf] = {};
    for (std::int64_t i = 0; i < kChains * kHalf && x + i < field.width; ++i)
      start[i] = static_cast<float>(noise[x + i] < -1e30 ? -1e30 : noise[x + i] > 1e30 ? 1e30 : noise[x + i]);
    Halves sum[kChains];
    std::memcpy(sum, start, sizeof sum);
    for (std::int64_t y = first; y < last; ++y)
      for (std::int64_t dx = -field.window_x; dx <= field.window_x; ++dx) {
        const float* other = field.planes + y * field.stride + x + dx;
        const auto square_y = static_cast<float>((row - y) * (row - y)), square_x = static_cast<float>(dx * dx);
#pragma GCC unroll 4
        for (int i = 0; i < kChains; ++i) {
          Halves squared{};
          for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t plane = c * field.plane + i * kHalf;
            const Halves d = load<Halves>(at + plane) - load<Halves>(other + plane);
            squared += d * d;
          }
          sum[i] = narrow(widen(sum[i]) + exponential(widen((squared + square_y + square_x) * factor)));
        }
      }
    std::memcpy(density + x, sum, sizeof sum);
  }
}

void rounded(const Field<float>& field, float factor, std::int64_t row, const double* noise, std::int32_t* density) {
  switch (field.channels) {
    case 1:
      return rounded_row<1>(field, factor, row, noise, density);
    case 3:
      return rounded_row<3>(field, factor, row, noise, density);
    default:
      return rounded_row<kAny>(field, factor, row, noise, density);
  }
}

}  // namespace

const DensityKernels* density_kernels() {
  static constexpr DensityKernels kernels{by_pairs<float>, by_pairs<double>, rounded};
  return &kernels;
}

}  // namespace pyseg::quickshift::PYSEG_ISA
