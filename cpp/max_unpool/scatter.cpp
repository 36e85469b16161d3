// x = 0, then value after value, in raster order: any indices, any windows. A task is a plane, or some channels of an
// image, so that what two threads write is never the same; it is zeroed just before, while it fits into a cache.
#include "core/check.h"
#include "core/workspace.h"
#include "max_unpool/spread.h"

namespace pyseg::max_unpool {

namespace {

// A place in the plane, of an index of window (od, oh, ow).
class Placer {
 public:
  Placer(const Problem& p, bool windowed) : p_(p), windowed_(windowed), end_(p.large_plane()) {}

  void row(std::int64_t od, std::int64_t oh) {
    d_ = od * p_.stride[0] - p_.padding[0];
    h_ = oh * p_.stride[1] - p_.padding[1];
  }
  std::int64_t operator()(std::int64_t index, std::int64_t ow) const {
    const std::int64_t w = ow * p_.stride[2] - p_.padding[2];
    if (p_.index == Index::tap) return of_tap(index, w);
    if (static_cast<std::uint64_t>(index) >= static_cast<std::uint64_t>(end_)) bad_index(index, end_);
    if (windowed_ && !within(index, w))
      check(false, "max_unpool: index ", index, " lies outside its window in an image of ", p_.large[0], " x ",
            p_.large[1], " x ", p_.large[2], ": was the pooled one of another size? Give output_size");
    return index;
  }

 private:
  std::int64_t of_tap(std::int64_t tap, std::int64_t w) const {
    if (tap >= p_.taps()) bad_index(tap, p_.taps());
    const std::int64_t x = w + tap % p_.kernel[2] * p_.dilation[2];
    const std::int64_t y = h_ + tap / p_.kernel[2] % p_.kernel[1] * p_.dilation[1];
    const std::int64_t z = d_ + tap / p_.kernel[2] / p_.kernel[1] * p_.dilation[0];
    if (x < 0 || x >= p_.large[2] || y < 0 || y >= p_.large[1] || z < 0 || z >= p_.large[0]) bad_index(tap, p_.taps());
    return (z * p_.large[1] + y) * p_.large[2] + x;
  }
  bool within(std::int64_t index, std::int64_t w) const {
    const std::int64_t first = std::max<std::int64_t>(w, 0);
    const std::int64_t last = std::min(w + (p_.kernel[2] - 1) * p_.dilation[2], p_.large[2] - 1);
    for (std::int64_t kd = 0; kd < p_.kernel[0]; ++kd)
      for (std::int64_t kh = 0; kh < p_.kernel[1]; ++kh) {
        const std::int64_t row = (d_ + kd * p_.dilation[0]) * p_.large[1] + h_ + kh * p_.dilation[1];
        const std::int64_t at = index - row * p_.large[2];
        if (at >= first && at <= last) return true;
      }
    return false;
  }

  const Problem& p_;
  bool windowed_;
  std::int64_t end_, d_ = 0, h_ = 0;
};

// Channels [first, first + count) of an image: put(place, channel - first, value).
template <typename T, typename I, typename Put>
void values_of(const Problem& p, const T* y, const I* indices, std::int64_t pitch, std::int64_t count, bool windowed,
               Put put) {
  Placer place(p, windowed);
  std::int64_t i = 0;
  for (std::int64_t od = 0; od < p.small[0]; ++od)
    for (std::int64_t oh = 0; oh < p.small[1]; ++oh) {
      place.row(od, oh);
      for (std::int64_t ow = 0; ow < p.small[2]; ++ow, i += pitch)
        for (std::int64_t c = 0; c < count; ++c) put(place(static_cast<std::int64_t>(indices[i + c]), ow), c, y[i + c]);
    }
}

template <typename S, typename I>
void scatter_channels(const Problem& p, const Arrays& a, const Finish<S>& finish, std::int64_t image,
                      std::int64_t first, std::int64_t count, Scratch<typename S::Wide>& scratch) {
  using T = typename S::T;
  const bool last = p.channels_last;
  const std::int64_t pitch = last ? p.channels : 1, plane = p.large_plane(), channel = image * p.channels;
  const std::int64_t start = last ? channel * p.small_plane() + first : (channel + first) * p.small_plane();
  const T* y = static_cast<const T*>(a.small) + start;
  const I* indices = static_cast<const I*>(a.indices) + start;
  T* x = static_cast<T*>(a.large) + (last ? channel * plane + first : (channel + first) * plane);
  if (a.add && sizeof(T) == 2) {  // sums are rounded once
    auto* sums = scratch.take(plane * count);
    std::fill(sums, sums + plane * count, typename S::Wide{});
    values_of(p, y, indices, pitch, count, a.windowed,
              [&](std::int64_t at, std::int64_t c, T v) { sums[at * count + c] += S::widen(v); });
    for (std::int64_t i = 0; i < plane; ++i)
      for (std::int64_t c = 0; c < count; ++c) x[i * pitch + c] = S::narrow(sums[i * count + c]);
    return;
  }
  if (!last) std::fill(x, x + plane, finish.rest()[first]);
  for (std::int64_t i = 0; last && i < plane; ++i)
    std::copy(finish.rest() + first, finish.rest() + first + count, x + i * pitch);
  if (a.add)
    values_of(p, y, indices, pitch, count, a.windowed,
              [&](std::int64_t at, std::int64_t c, T v) { x[at * pitch + c] = static_cast<T>(x[at * pitch + c] + v); });
  else if (finish.any())
    values_of(p, y, indices, pitch, count, a.windowed,
              [&](std::int64_t at, std::int64_t c, T v) { x[at * pitch + c] = finish.of(v, first + c); });
  else
    values_of(p, y, indices, pitch, count, a.windowed,
              [&](std::int64_t at, std::int64_t c, T v) { x[at * pitch + c] = v; });
}

}  // namespace

template <typename S>
void scatter(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec) {
  const std::int64_t block = p.channels_last ? 64 / static_cast<std::int64_t>(sizeof(typename S::T)) : 1;
  const std::int64_t blocks = (p.channels + block - 1) / block;
  exec.run(p.batch * blocks, grain_of(p.large_plane() * block), [&](std::int64_t begin, std::int64_t end) {
    Scratch<typename S::Wide> scratch;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / blocks, first = i % blocks * block, count = std::min(block, p.channels - first);
      if (p.index == Index::tap) scatter_channels<S, std::uint8_t>(p, a, finish, image, first, count, scratch);
      else if (p.index == Index::i32) scatter_channels<S, std::int32_t>(p, a, finish, image, first, count, scratch);
      else scatter_channels<S, std::int64_t>(p, a, finish, image, first, count, scratch);
    }
  });
}

template void scatter(const Problem&, const Arrays&, const Finish<Stored<Value::f16>>&, const Executor&);
template void scatter(const Problem&, const Arrays&, const Finish<Stored<Value::bf16>>&, const Executor&);
template void scatter(const Problem&, const Arrays&, const Finish<Stored<Value::f32>>&, const Executor&);
template void scatter(const Problem&, const Arrays&, const Finish<Stored<Value::f64>>&, const Executor&);

}  // namespace pyseg::max_unpool
