// The ways to spread pooled values over x, by layout and window; spread.cpp chooses.
#pragma once

#include <vector>

#include "max_unpool/convert.h"
#include "max_unpool/windows.h"

namespace pyseg::max_unpool {

// What becomes of a value, and of a pixel that none reaches, by channel: in the type that is stored.
template <typename S>
class Finish {
 public:
  using T = typename S::T;
  using Wide = typename S::Wide;

  Finish(const Problem& p, const Affine& affine) : affine_(affine), any_(affine.any()) {
    rest_.resize(static_cast<std::size_t>(p.channels));
    for (std::int64_t c = 0; c < p.channels; ++c) rest_[static_cast<std::size_t>(c)] = any_ ? of(T{}, c) : T{};
  }
  bool any() const { return any_; }
  const T* rest() const { return rest_.data(); }
  T of(T v, std::int64_t c) const {
    if (!any_) return v;
    Wide w = S::widen(v);
    if (affine_.scale != nullptr) w *= static_cast<Wide>(affine_.scale[c]);
    if (affine_.shift != nullptr) w += static_cast<Wide>(affine_.shift[c]);
    return S::narrow(affine_.relu && w < 0 ? Wide{0} : w);
  }
  // [count] of a plane of channel c, or [count, channels] where `channels` > 0.
  void row(const T* from, std::int64_t count, std::int64_t c, std::int64_t channels, T* to) const {
    if (channels == 0)
      for (std::int64_t i = 0; i < count; ++i) to[i] = of(from[i], c);
    for (std::int64_t i = 0; channels > 0 && i < count; ++i)
      for (std::int64_t k = 0; k < channels; ++k) to[i * channels + k] = of(from[i * channels + k], k);
  }

 private:
  Affine affine_;
  bool any_;
  std::vector<T> rest_;
};

// Along axis a, the windows over each position, in ascending order, and their taps.
class Over {
 public:
  struct Hit {
    std::int64_t window, tap;
  };
  Over(const Problem& p, std::size_t a) : start_(static_cast<std::size_t>(p.large[a]) + 1) {
    for (std::int64_t at = 0; at < p.large[a]; ++at) {
      const std::int64_t end = std::min(p.small[a] - 1, (at + p.padding[a]) / p.stride[a]);
      const std::int64_t before = at + p.padding[a] - (p.kernel[a] - 1) * p.dilation[a];
      for (std::int64_t o = before <= 0 ? 0 : (before + p.stride[a] - 1) / p.stride[a]; o <= end; ++o) {
        const std::int64_t offset = at + p.padding[a] - o * p.stride[a];
        if (offset % p.dilation[a] == 0) hits_.push_back({o, offset / p.dilation[a]});
      }
      start_[static_cast<std::size_t>(at) + 1] = hits_.size();
    }
  }
  const Hit* begin(std::int64_t at) const { return hits_.data() + start_[static_cast<std::size_t>(at)]; }
  const Hit* end(std::int64_t at) const { return hits_.data() + start_[static_cast<std::size_t>(at) + 1]; }

 private:
  std::vector<std::size_t> start_;
  std::vector<Hit> hits_;
};

struct Arrays {
  const void* small;
  const void* indices;
  void* large;
  bool add, windowed;
};

// One-byte indices of planes, windows of two columns that lie side by side.
bool is_pairs(const Problem& p);
template <typename S>
void spread_pairs(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec);
// One-byte indices of planes, any windows at stride 1 or 2 along the row.
bool is_strips(const Problem& p);
template <typename S>
void spread_strips(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec);
// One-byte indices of channels_last; nothing is added in half precision.
template <typename S>
void spread_pixels(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec);
// Everything: zeros, then value after value.
template <typename S>
void scatter(const Problem& p, const Arrays& a, const Finish<S>& finish, const Executor& exec);

// Larger results than this go past the cache, which would not hold them.
constexpr std::int64_t kStreamBytes = std::int64_t{8} << 20;
inline bool past_cache(const Problem& p) {
  return p.batch * p.channels * p.large_plane() * size_of(p.value) >= kStreamBytes;
}

}  // namespace pyseg::max_unpool
