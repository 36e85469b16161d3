// What is computed by whom: an image and a group of channels at a time; see roi_align.h.
#include "roi_align/roi_align.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/pages.h"
#include "core/workspace.h"
#include "roi_align/kernels.h"
#include "roi_align/plan.h"

namespace pyseg::roi_align {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 31;
constexpr std::int64_t kMostSampling = 1024;
constexpr std::int64_t kNear = std::int64_t{1} << 20;   // bytes that a processor has near
constexpr std::int64_t kFar = std::int64_t{8} << 20;    // and that are slow to be read again and again
constexpr std::int64_t kKept = std::int64_t{64} << 20;  // bytes of scratch that a thread keeps

void check_arguments(const Shape& s, const Boxes& boxes, const Options& o) {
  check(o.height >= 1 && o.width >= 1 && o.height < kMost && o.width < kMost,
        "roi_align: output_size must be 1 .. 2^31 - 1, got ", o.height, " x ", o.width);
  check(
      o.sampling <= kMostSampling && std::max(o.height, o.width) <= (kMost - 1) / std::max<std::int64_t>(o.sampling, 1),
      "roi_align: sampling_ratio must be at most ", kMostSampling, ", and less than 2^31 samples a side, got ",
      o.sampling);
  check(std::isfinite(o.scale) && o.scale > 0, "roi_align: spatial_scale must be finite and > 0, got ", o.scale);
  check(s.height < kMost / 4 && s.width < kMost / 4,
        "roi_align: features must have less than 2^29 rows and columns, got ", s.height, " x ", s.width);
  check(boxes.count == 0 || (s.height >= 1 && s.width >= 1), "roi_align: features must not be empty, got ", s.height,
        " x ", s.width);
}

// Where values lie in an array of the maps' number and order.
template <typename Byte>
struct Place {
  Byte* data;
  std::int64_t size;      // of a number
  std::int64_t channels;  // of the array
  std::int64_t pixels;    // of an image
  bool last;

  // Of image b's channel c at pixel i.
  Byte* at(std::int64_t b, std::int64_t c, std::int64_t i) const {
    return data + size * (last ? (b * pixels + i) * channels + c : (b * channels + c) * pixels + i);
  }
};

template <typename T>
struct Work {
  const Shape& shape;
  const Options& options;
  const Plan<T>& plan;
  const KernelsOf<T>& kernels;
  std::int64_t bins = options.height * options.width;
  std::int64_t groups = (shape.channels + kGroup<T> - 1) / kGroup<T>;

  template <typename Byte>
  Place<Byte> maps(Byte* data) const {
    return {data, size_of(shape.number), shape.channels, shape.height * shape.width, shape.channels_last};
  }
  template <typename Byte>
  Place<Byte> results(Byte* data) const {
    return {data, size_of(shape.number), shape.channels, bins, shape.channels_last};
  }

  // `count` pixels from the one at `from`, in `units` groups of channels, to [count][units * kGroup] and back.
  void read(const Place<const std::byte>& in, std::int64_t b, std::int64_t group, std::int64_t units, std::int64_t from,
            std::int64_t count, T* out) const {
    const std::int64_t step = units * kGroup<T>;
    for (std::int64_t c = group * kGroup<T>, end = c + step; c < end; c += kGroup<T>, out += kGroup<T>) {
      const std::int64_t channels = std::min(kGroup<T>, shape.channels - c);
      if (in.last) kernels.widen(in.at(b, c, from), shape.number, shape.channels, count, channels, out, step);
      else kernels.gather(in.at(b, c, from), shape.number, in.pixels, count, channels, out, step);
    }
  }
  void write(const T* in, const Place<std::byte>& out, std::int64_t b, std::int64_t group, std::int64_t units,
             std::int64_t from, std::int64_t count) const {
    const std::int64_t step = units * kGroup<T>;
    for (std::int64_t c = group * kGroup<T>, end = c + step; c < end; c += kGroup<T>, in += kGroup<T>) {
      const std::int64_t channels = std::min(kGroup<T>, shape.channels - c);
      if (out.last) kernels.narrow(in, step, count, channels, out.at(b, c, from), shape.number, shape.channels);
      else kernels.scatter(in, step, count, channels, out.at(b, c, from), shape.number, out.pixels);
    }
  }
  void clear(const Place<std::byte>& out, std::int64_t b, std::int64_t group, std::int64_t from,
             std::int64_t count) const {
    const std::int64_t c = group * kGroup<T>, channels = std::min(kGroup<T>, shape.channels - c);
    const auto zero = [&](std::int64_t channel, std::int64_t pixel, std::int64_t values) {
      std::memset(out.at(b, channel, pixel), 0, static_cast<std::size_t>(values * out.size));
    };
    if (out.last)
      for (std::int64_t i = 0; i < count; ++i) zero(c, from + i, channels);
    else
      for (std::int64_t k = 0; k < channels; ++k) zero(c + k, from, count);
  }
};

// Scratch of this thread.
template <typename T>
struct Buffers {
  Scratch<T> map, tile;
  void trim() {
    if (map.bytes() > kKept) map.release();
    if (tile.bytes() > kKept) tile.release();
  }
};

template <typename T>
Buffers<T>& buffers() {
  static thread_local Buffers<T> mine;
  return mine;
}

template <typename T>
void pool_group(const Work<T>& w, const Place<const std::byte>& in, const Place<std::byte>& out, std::int64_t b,
                std::int64_t group, std::int64_t units) {
  const std::int64_t width = w.shape.width, step = units * kGroup<T>;
  Buffers<T>& mine = buffers<T>();
  T* map = mine.map.take(w.shape.height * width * step);
  T* tile = mine.tile.take(w.bins * step);
  w.plan.runs(
      b,
      [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
        w.read(in, b, group, units, y * width + begin, end - begin, map + (y * width + begin) * step);
      },
      [](std::int64_t, std::int64_t, std::int64_t) {});
  for (std::int64_t i = w.plan.first(b); i < w.plan.end(b); ++i) {
    w.kernels.pool(w.plan.box(i), map, width, step, static_cast<int>(units), tile, step);
    w.write(tile, out, w.plan.place(i), group, units, 0, w.bins);
  }
  mine.trim();
}

// Whole groups of channels that lie side by side in the maps and in the result.
template <typename T>
void pool_in_place(const Work<T>& w, const T* in, T* out, const Executor& exec) {
  const std::int64_t channels = w.shape.channels, map = w.shape.height * w.shape.width * channels;
  const std::int64_t groups = channels / kGroup<T>;
  for (std::int64_t b = 0; b < w.shape.batch; ++b) {
    const std::int64_t first = w.plan.first(b);
    exec.each(w.plan.end(b) - first, [&](std::int64_t i) {
      const Box<T> box = w.plan.box(first + i);
      T* mine = out + w.plan.place(first + i) * w.bins * channels;
      for (std::int64_t g = 0; g < groups;) {
        const int n = groups - g >= 4 ? 4 : groups - g >= 2 ? 2 : 1;
        const std::int64_t c = g * kGroup<T>;
        w.kernels.pool(box, in + b * map + c, w.shape.width, channels, n, mine + c, channels);
        g += n;
      }
    });
  }
}

// How many groups of channels are computed together: samples' weights and places are then found less often, but the
// scratch must stay in the cache.
template <typename T>
std::int64_t together(const Shape& shape, std::int64_t groups, int threads) {
  const std::int64_t bytes = shape.height * shape.width * kGroupBytes;
  std::int64_t units = 4;
  while (units > 1 && (units * bytes > kNear || shape.batch * groups < units * 2 * threads)) units /= 2;
  return units;
}

// Whether pixels of a large map are read many times, so that groups of channels are better copied.
template <typename T>
bool reads_again(const Shape& shape, const Plan<T>& plan) {
  const std::int64_t pixels = shape.height * shape.width;
  if (pixels * shape.channels * size_of(shape.number) <= kFar) return false;
  return 4 * plan.samples() > 8 * static_cast<double>(shape.batch * pixels);
}

// Whether channels are better read as they lie, one by one: nanoseconds, by a processor of 2023.
template <typename T>
bool few_samples(const Work<T>& w) {
  const double samples = w.plan.samples(), groups = static_cast<double>(w.groups);
  const bool paged = w.shape.height * w.shape.width * kGroupBytes > kKept;  // anew in every call
  return 5 * samples * static_cast<double>(w.shape.channels) <
         groups * ((paged ? 18 : 8) * w.plan.touched() + 2.2 * samples);
}

template <typename T>
void pool_channels(const Work<T>& w, const Place<const std::byte>& in, const Place<std::byte>& out,
                   const Executor& exec) {
  const std::int64_t step = in.last ? w.shape.channels : 1;
  for (std::int64_t b = 0; b < w.shape.batch; ++b) {
    const std::int64_t first = w.plan.first(b);
    exec.each(w.plan.end(b) - first, [&](std::int64_t i) {
      const Box<T> box = w.plan.box(first + i);
      for (std::int64_t c = 0; c < w.shape.channels; ++c)
        w.kernels.pool_channel(box, in.at(b, c, 0), w.shape.number, w.shape.width, step,
                               out.at(w.plan.place(first + i), c, 0), step);
    });
  }
}

template <typename T>
void spread_channels(const Work<T>& w, const Place<const std::byte>& in, const Place<std::byte>& out,
                     const Executor& exec) {
  const std::int64_t step = in.last ? w.shape.channels : 1, pixels = w.shape.height * w.shape.width;
  exec.each(w.shape.batch * w.shape.channels, [&](std::int64_t task) {
    const std::int64_t b = task / w.shape.channels, c = task % w.shape.channels;
    Buffers<T>& mine = buffers<T>();
    const bool there = step == 1 && out.size == sizeof(T);
    T* map = there ? reinterpret_cast<T*>(out.at(b, c, 0)) : mine.map.take(pixels);
    std::memset(map, 0, static_cast<std::size_t>(pixels) * sizeof(T));
    for (std::int64_t i = w.plan.first(b); i < w.plan.end(b); ++i)
      w.kernels.spread_channel(w.plan.box(i), in.at(w.plan.place(i), c, 0), w.shape.number, step, map, w.shape.width);
    if (!there) w.kernels.store_channel(map, pixels, out.at(b, c, 0), w.shape.number, step);
    mine.trim();
  });
}

template <typename T>
void run(const KernelsOf<T>& kernels, const void* features, const Shape& shape, const Boxes& boxes,
         const Options& options, void* out, const Executor& exec) {
  const Plan<T> plan(shape, boxes, options);
  const Work<T> w{shape, options, plan, kernels};
  const auto in = w.maps(static_cast<const std::byte*>(features));
  const auto to = w.results(static_cast<std::byte*>(out));
  const bool in_place = shape.channels_last && size_of(shape.number) == sizeof(T) && shape.channels >= kGroup<T> &&
                        !reads_again(shape, plan);
  if (!in_place && few_samples(w)) return pool_channels(w, in, to, exec);
  std::int64_t first = 0;
  if (in_place) {
    pool_in_place(w, static_cast<const T*>(features), static_cast<T*>(out), exec);
    first = shape.channels / kGroup<T>;
  }
  const std::int64_t groups = w.groups - first, units = together<T>(shape, groups, exec.threads());
  const std::int64_t parts = (groups + units - 1) / units;
  exec.each(shape.batch * parts, [&](std::int64_t task) {
    const std::int64_t b = task / parts, group = task % parts * units;
    // What is left over goes one by one.
    const bool whole = group + units <= groups;
    if (plan.first(b) == plan.end(b)) return;
    if (whole) pool_group(w, in, to, b, first + group, units);
    for (std::int64_t g = whole ? groups : group; g < groups; ++g) pool_group(w, in, to, b, first + g, 1);
  });
}

template <typename T>
void spread_group(const Work<T>& w, const Place<const std::byte>& in, const Place<std::byte>& out, std::int64_t b,
                  std::int64_t group) {
  const std::int64_t width = w.shape.width;
  Buffers<T>& mine = buffers<T>();
  T* map = mine.map.take(w.shape.height * width * kGroup<T>);
  T* tile = mine.tile.take(w.bins * kGroup<T>);
  w.plan.runs(
      b,
      [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
        std::fill_n(map + (y * width + begin) * kGroup<T>, (end - begin) * kGroup<T>, T(0));
      },
      [](std::int64_t, std::int64_t, std::int64_t) {});
  for (std::int64_t i = w.plan.first(b); i < w.plan.end(b); ++i) {
    w.read(in, w.plan.place(i), group, 1, 0, w.bins, tile);
    w.kernels.spread(w.plan.box(i), tile, kGroup<T>, map, width, kGroup<T>);
  }
  w.plan.runs(
      b,
      [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
        w.write(map + (y * width + begin) * kGroup<T>, out, b, group, 1, y * width + begin, end - begin);
      },
      [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
        w.clear(out, b, group, y * width + begin, end - begin);
      });
  mine.trim();
}

template <typename T>
void run_backward(const KernelsOf<T>& kernels, const void* gradient, const Shape& shape, const Boxes& boxes,
                  const Options& options, void* out, const Executor& exec) {
  const Plan<T> plan(shape, boxes, options);
  const Work<T> w{shape, options, plan, kernels};
  const auto in = w.results(static_cast<const std::byte*>(gradient));
  const auto to = w.maps(static_cast<std::byte*>(out));
  if (few_samples(w)) return spread_channels(w, in, to, exec);
  exec.each(shape.batch * w.groups,
            [&](std::int64_t task) { spread_group(w, in, to, task / w.groups, task % w.groups); });
}

}  // namespace

void roi_align(const void* features, const Shape& shape, const Boxes& boxes, const Options& options, void* out,
               const Executor& exec) {
  check_arguments(shape, boxes, options);
  prefer_huge_pages(out, boxes.count * shape.channels * options.height * options.width * size_of(shape.number));
  const Kernels& k = kernels();
  if (shape.number == Number::f64) run(k.f64, features, shape, boxes, options, out, exec);
  else run(k.f32, features, shape, boxes, options, out, exec);
}

void roi_align_backward(const void* gradient, const Shape& shape, const Boxes& boxes, const Options& options, void* out,
                        const Executor& exec) {
  check_arguments(shape, boxes, options);
  prefer_huge_pages(out, shape.batch * shape.channels * shape.height * shape.width * size_of(shape.number));
  const Kernels& k = kernels();
  if (shape.number == Number::f64) run_backward(k.f64, gradient, shape, boxes, options, out, exec);
  else run_backward(k.f32, gradient, shape, boxes, options, out, exec);
}

}  // namespace pyseg::roi_align
