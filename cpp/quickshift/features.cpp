#include "quickshift/features.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "lab/lab.h"
#include "slic/planes.h"

namespace pyseg::quickshift {
namespace {

// Tap j weighs what lies first + j away.
struct Kernel {
  std::vector<float> taps;
  std::int64_t first;
};

// A Gaussian of unit sum, truncated at 4 sigma, for lines of `size` that go on mirrored: where it is much longer than
// their period, taps a period apart become one.
Kernel gaussian(double sigma, std::int64_t size) {
  const auto radius = static_cast<std::int64_t>(std::min(4.0 * sigma + 0.5, 1e6));
  const bool folded = radius > 8 * size;
  std::vector<double> taps(static_cast<std::size_t>(folded ? 2 * size : 2 * radius + 1));
  double total = 0;
  for (std::int64_t i = -radius; i <= radius; ++i) {
    const double tap = std::exp(-0.5 * std::pow(static_cast<double>(i) / sigma, 2));
    const std::int64_t at = folded ? (i % (2 * size) + 2 * size) % (2 * size) : i + radius;
    taps[static_cast<std::size_t>(at)] += tap;
    total += tap;
  }
  Kernel kernel{std::vector<float>(taps.size()), folded ? 0 : -radius};
  for (std::size_t i = 0; i < taps.size(); ++i) kernel.taps[i] = static_cast<float>(taps[i] / total);
  return kernel;
}

// Where i lies in a line of `size` that goes on mirrored, its ends repeated.
std::int64_t mirrored(std::int64_t i, std::int64_t size) {
  i %= 2 * size;
  if (i < 0) i += 2 * size;
  return i < size ? i : 2 * size - 1 - i;
}

// Down the columns from `in` to `out`, then along the rows and back.
void smooth(float* in, float* out, const Field<float>& field, double sigma, const Executor& exec) {
  const std::int64_t height = field.height, width = field.width;
  const auto line = [&](float* planes, std::int64_t i) {
    return planes + i / height * field.plane + i % height * field.stride;
  };
  const auto blend = [](const std::vector<const float*>& rows, const Kernel& kernel, std::int64_t count, float* to) {
    slic::plane_kernels().blend(rows.data(), kernel.taps.data(), static_cast<int>(rows.size()), count, to);
  };
  const Kernel down = gaussian(sigma, height), along = gaussian(sigma, width);
  exec.run(field.channels * height, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const float*> rows(down.taps.size());
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::size_t j = 0; j < rows.size(); ++j) {
        const std::int64_t y = i % height + down.first + static_cast<std::int64_t>(j);
        rows[j] = line(in, i / height * height + mirrored(y, height));
      }
      blend(rows, down, width, line(out, i));
    }
  });
  exec.run(field.channels * height, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const float*> rows(along.taps.size());
    std::vector<float> wide(static_cast<std::size_t>(width) + rows.size());
    for (std::size_t j = 0; j < rows.size(); ++j) rows[j] = wide.data() + j;
    for (std::int64_t i = begin; i < end; ++i) {
      const float* from = line(out, i);
      for (std::size_t x = 0; x < wide.size(); ++x)
        wide[x] = from[mirrored(along.first + static_cast<std::int64_t>(x), width)];
      blend(rows, along, width, line(in, i));
    }
  });
}

// Row y of a channel of type T, as it is; is every value finite?
template <typename T>
bool copy_row(const ImageView& image, std::int64_t y, std::int64_t c, T* out) {
  const std::byte* in = image.row(0, y) + c * image.stride[3];
  bool finite = true;
  for (std::int64_t x = 0; x < image.width(); ++x) {
    std::memcpy(out + x, in + x * image.stride[2], sizeof(T));
    finite &= std::isfinite(out[x]);
  }
  return finite;
}

}  // namespace

template <typename T>
Field<T> Features<T>::load(const ImageView& image, const Options& options, std::int64_t window_y, std::int64_t window_x,
                           const Executor& exec) {
  Field<T> field;
  field.channels = image.channels();
  field.height = image.height();
  field.width = image.width();
  field.window_y = window_y;
  field.window_x = window_x;
  field.stride = (field.width + 2 * window_x + kMargin + 15) / 16 * 16;
  field.plane = field.stride * field.height;
  T* const planes = planes_.take(field.channels * field.plane) + window_x;
  field.planes = planes;

  const double ratio = options.to_lab ? options.ratio : 100.0 * options.ratio;
  const auto factor = static_cast<float>(std::min(ratio, static_cast<double>(std::numeric_limits<float>::max())));
  std::atomic<bool> finite{true};
  exec.run(field.height, 4, [&](std::int64_t begin, std::int64_t end) {
    bool good = true;
    for (std::int64_t y = begin; y < end; ++y) {
      T* const first = planes + y * field.stride;
      for (std::int64_t c = 0; c < field.channels; ++c) {
        T* line = first + c * field.plane;
        std::fill(line - window_x, line, std::numeric_limits<T>::quiet_NaN());
        std::fill(line + field.width, line - window_x + field.stride, std::numeric_limits<T>::quiet_NaN());
        if (options.exact) good &= copy_row(image, y, c, line);
        else if constexpr (std::is_same_v<T, float>)
          slic::plane_kernels().convert(image.row(0, y) + c * image.stride[3], static_cast<int>(image.dtype),
                                        image.stride[2], field.width, line);
      }
      if constexpr (std::is_same_v<T, float>) {
        if (options.exact) continue;
        if (options.to_lab) lab::kernels().floats(first, first + field.plane, first + 2 * field.plane, field.width);
        for (std::int64_t c = 0; c < field.channels; ++c)
          good &= std::isfinite(slic::plane_kernels().scale(first + c * field.plane, field.width, factor));
      }
    }
    if (!good) finite = false;
  });
  check(finite, "quickshift: image must be finite", options.to_lab ? " (in CIELAB)" : "", ", got nan or inf");
  if constexpr (std::is_same_v<T, float>)
    if (options.sigma > 0)
      smooth(planes, other_.take(field.channels * field.plane) + window_x, field, options.sigma, exec);
  return field;
}

template class Features<float>;
template class Features<double>;

}  // namespace pyseg::quickshift
