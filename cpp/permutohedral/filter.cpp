// Splat, blur, slice of any number of channels, band by band.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "permutohedral/rows.h"
#include "permutohedral/steps.h"

namespace pyseg::permutohedral {
namespace {

template <typename T>
struct Block {  // of a band, for one call of the kernels
  const std::uint16_t* offset;
  const T* weight;
  const std::uint32_t* base;
  const T* factor;
  int classes, count;
};

template <typename T>
Block<T> block_of(const Lattice<T>& lattice, std::int64_t band, std::int64_t b, const T* factor) {
  const std::int64_t n = lattice.classes();
  return {lattice.offset.get() + b * n * kLanes,
          lattice.weight.get() + b * n * kLanes,
          lattice.base.data() + band * n,
          factor == nullptr ? nullptr : factor + b * kLanes,
          static_cast<int>(n),
          static_cast<int>(std::min<std::int64_t>(kLanes, lattice.points - b * kLanes))};
}

void splat(const Block<float>& b, const float* values, std::int64_t step, std::int64_t, std::int64_t stride,
           float* rows) {
  kernels().splat(b.offset, b.weight, b.base, b.classes, b.factor, values, step, b.count, stride, rows);
}
void splat(const Block<double>& b, const double* values, std::int64_t step, std::int64_t channels, std::int64_t stride,
           double* rows) {
  for (int i = 0; i < b.count; ++i)
    for (int r = 0; r < b.classes; ++r) {
      double* row = rows + (b.base[r] + b.offset[r * kLanes + i]) * stride;
      const double w = b.weight[r * kLanes + i] * (b.factor == nullptr ? 1.0 : b.factor[i]);
      for (std::int64_t c = 0; c < channels; ++c) row[c] += w * values[i * step + c];
    }
}
void slice(const Block<float>& b, float scale, const float* rows, std::int64_t stride, std::int64_t, std::int64_t step,
           float* values) {
  kernels().slice(b.offset, b.weight, b.base, b.classes, b.factor, scale, rows, stride, step, b.count, values);
}
void slice(const Block<double>& b, double scale, const double* rows, std::int64_t stride, std::int64_t channels,
           std::int64_t step, double* values) {
  for (int i = 0; i < b.count; ++i)
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (int r = 0; r < b.classes; ++r)
        sum += b.weight[r * kLanes + i] * rows[(b.base[r] + b.offset[r * kLanes + i]) * stride + c];
      values[i * step + c] = sum * scale * (b.factor == nullptr ? 1.0 : b.factor[i]);
    }
}

}  // namespace

template <typename T>
std::int64_t stride_of(std::int64_t channels) {
  return channels == 1 || sizeof(T) == 8 ? channels : row_size(channels);
}

// Rows of floats are padded, so that values go through a buffer of their size.
template <typename T>
void splat_rows(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
                const T* factor, const Executor& executor, T* rows) {
  const std::int64_t stride = stride_of<T>(channels);
  executor.each(lattice.bands, [&](std::int64_t band) {
    const std::int64_t from = lattice.segment[static_cast<std::size_t>(band)] * stride;
    const std::int64_t to = lattice.segment[static_cast<std::size_t>(band) + 1] * stride;
    std::fill(rows + from, rows + to, T{0});
    alignas(64) T padded[kLanes * kPanel] = {};
    for (std::int64_t b = lattice.first_block(band); b < lattice.last_block(band); ++b) {
      const Block<T> block = block_of(lattice, band, b, factor);
      const T* in = values + b * kLanes * value_step;
      if (stride == channels) {
        splat(block, in, value_step, channels, stride, rows);
        continue;
      }
      for (int i = 0; i < block.count; ++i) std::copy_n(in + i * value_step, channels, padded + i * stride);
      splat(block, padded, stride, channels, stride, rows);
    }
  });
}

namespace {

template <typename T>
void slice_rows(const Lattice<T>& lattice, const T* rows, std::int64_t channels, const T* factor,
                const Executor& executor, T* out, std::int64_t out_step) {
  const std::int64_t stride = stride_of<T>(channels);
  executor.each(lattice.bands, [&](std::int64_t band) {
    alignas(64) T padded[kLanes * kPanel];
    for (std::int64_t b = lattice.first_block(band); b < lattice.last_block(band); ++b) {
      const Block<T> block = block_of(lattice, band, b, factor);
      T* to = out + b * kLanes * out_step;
      if (stride == channels) {
        slice(block, lattice.alpha(), rows, stride, channels, out_step, to);
        continue;
      }
      slice(block, lattice.alpha(), rows, stride, channels, stride, padded);
      for (int i = 0; i < block.count; ++i) std::copy_n(padded + i * stride, channels, to + i * out_step);
    }
  });
}

template <typename T>
void filter_panel(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
                  const T* before, const T* after, bool transpose, const Executor& executor, T* out,
                  std::int64_t out_step) {
  thread_local Scratch<T> scratch;
  T* rows = scratch.take(lattice.rows * stride_of<T>(channels));
  splat_rows(lattice, values, value_step, channels, before, executor, rows);
  blur_rows(lattice, stride_of<T>(channels), transpose, executor, rows);
  slice_rows(lattice, rows, channels, after, executor, out, out_step);
}

}  // namespace

template <typename T>
void normalizer(const Lattice<T>& lattice, bool square_root, const Executor& executor, T* factor) {
  const std::int64_t n = lattice.blocks * kLanes;
  std::fill(factor, factor + n, T{1});
  filter_panel<T>(lattice, factor, 1, 1, nullptr, nullptr, false, executor, factor, 1);
  executor.run(n, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T sum = factor[i] + static_cast<T>(1e-20);
      factor[i] = T{1} / (square_root ? std::sqrt(sum) : sum);
    }
  });
}

template <typename T>
void filter(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
            Normalization normalization, bool transpose, const Executor& executor, T* out, std::int64_t out_step) {
  Scratch<T> factor;
  const T *before = nullptr, *after = nullptr;
  if (normalization != Normalization::none) {
    T* f = factor.take(lattice.blocks * kLanes);
    normalizer(lattice, normalization == Normalization::symmetric, executor, f);
    // The adjoint of "before" normalises after.
    if (normalization == Normalization::symmetric || (normalization == Normalization::before) != transpose) before = f;
    if (normalization == Normalization::symmetric || (normalization == Normalization::after) != transpose) after = f;
  }
  filter_scaled(lattice, values, value_step, channels, before, after, transpose, executor, out, out_step);
}

template <typename T>
void filter_scaled(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
                   const T* before, const T* after, bool transpose, const Executor& executor, T* out,
                   std::int64_t out_step) {
  for (std::int64_t c = 0; c < channels; c += kPanel)
    filter_panel(lattice, values + c, value_step, std::min(kPanel, channels - c), before, after, transpose, executor,
                 out + c, out_step);
}

template std::int64_t stride_of<float>(std::int64_t);
template std::int64_t stride_of<double>(std::int64_t);
template void splat_rows(const Lattice<float>&, const float*, std::int64_t, std::int64_t, const float*, const Executor&,
                         float*);
template void splat_rows(const Lattice<double>&, const double*, std::int64_t, std::int64_t, const double*,
                         const Executor&, double*);
template void normalizer(const Lattice<float>&, bool, const Executor&, float*);
template void normalizer(const Lattice<double>&, bool, const Executor&, double*);
template void filter(const Lattice<float>&, const float*, std::int64_t, std::int64_t, Normalization, bool,
                     const Executor&, float*, std::int64_t);
template void filter(const Lattice<double>&, const double*, std::int64_t, std::int64_t, Normalization, bool,
                     const Executor&, double*, std::int64_t);
template void filter_scaled(const Lattice<float>&, const float*, std::int64_t, std::int64_t, const float*, const float*,
                            bool, const Executor&, float*, std::int64_t);
template void filter_scaled(const Lattice<double>&, const double*, std::int64_t, std::int64_t, const double*,
                            const double*, bool, const Executor&, double*, std::int64_t);

}  // namespace pyseg::permutohedral
