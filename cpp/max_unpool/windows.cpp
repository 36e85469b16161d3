// The rules of sizes and indices.
#include "max_unpool/windows.h"

#include <cstdint>
#include <stdexcept>

#include "core/check.h"
#include "core/pages.h"

namespace pyseg::max_unpool {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 40;  // of any size: products of a few of them must not overflow
const char* const kAxes[] = {"depth", "height", "width"};

std::int64_t product(const Sizes& s, std::int64_t start) {
  for (const std::int64_t n : s) {
    check(n == 0 || start <= (std::int64_t{1} << 60) / n, "max_unpool: more than 2^60 values");
    start *= n;
  }
  return start;
}

}  // namespace

void bad_index(std::int64_t index, std::int64_t end) {
  throw std::out_of_range(text("max_unpool: an index must be 0 .. ", end - 1, ", got ", index));
}

std::int64_t pooled_size(const char* op, std::int64_t size, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding, std::int64_t dilation, bool ceil_mode) {
  check(kernel >= 1 && kernel < kMost, op, ": kernel_size must be 1 .. 2^40, got ", kernel);
  check(stride >= 1 && stride < kMost, op, ": stride must be 1 .. 2^40, got ", stride);
  check(dilation >= 1 && dilation < kMost && (kernel - 1) <= kMost / dilation, op,
        ": dilation must be 1 .. 2^40 / kernel_size, got ", dilation);
  const std::int64_t reach = (kernel - 1) * dilation;
  check(padding >= 0 && padding <= kernel / 2, op, ": padding must be 0 .. half of kernel_size, got ", padding);
  const std::int64_t room = size + 2 * padding - reach - 1 + (ceil_mode ? stride - 1 : 0);
  std::int64_t n = room < 0 ? 0 : room / stride + 1;
  if (ceil_mode && n > 0 && (n - 1) * stride >= size + padding) --n;
  check(n >= 1, op, ": a window of ", reach + 1, " does not fit into ", size, " with padding ", padding);
  return n;
}

void verify(const char* op, const Problem& p, bool pooling) {
  check(p.batch >= 0 && p.channels >= 0, op, ": sizes must be >= 0");
  for (std::size_t a = 0; a < 3; ++a) {
    check(p.kernel[a] >= 1 && p.kernel[a] < kMost && p.stride[a] >= 1 && p.stride[a] < kMost && p.dilation[a] >= 1 &&
              p.dilation[a] < kMost && (p.kernel[a] - 1) <= kMost / p.dilation[a],
          op, ": kernel_size, stride and dilation must be 1 .. 2^40, got ", p.kernel[a], ", ", p.stride[a], ", ",
          p.dilation[a]);
    check(p.padding[a] >= 0 && p.padding[a] < kMost, op, ": padding must be 0 .. 2^40, got ", p.padding[a]);
    check(p.large[a] >= 0 && p.small[a] >= 0 && p.large[a] < kMost && p.small[a] < kMost &&
              (p.small[a] == 0 || p.large[a] > 0),
          op, ": the ", kAxes[a], "s must be sizes of an image and its pooled one, got ", p.large[a], " and ",
          p.small[a]);
    check(p.small[a] <= kMost / p.stride[a], op, ": stride is too large, got ", p.stride[a]);
    if (!pooling && p.index != Index::tap) continue;
    // With taps side by side the first and the last window are the ones that may lie beside the image.
    const std::int64_t step = p.dilation[a] > 1 && p.kernel[a] > 1 ? 1 : std::max<std::int64_t>(1, p.small[a] - 1);
    for (std::int64_t o = 0; o < p.small[a]; o += step) {
      const Taps t = taps_of(p, a, o);
      check(t.first < t.last, op, ": window ", o, " along the ", kAxes[a], " holds no pixel of the ", p.large[a],
            ": padding, dilation or output_size do not fit");
    }
  }
  if (p.index == Index::tap)
    check(product(p.kernel, 1) <= kMostTaps, op, ": one-byte indices need kernels of at most 256 taps, got ",
          product(p.kernel, 1));
  const std::int64_t planes = p.batch == 0 || p.channels == 0 ? 0 : p.batch * p.channels;
  check(planes == 0 || p.batch < (std::int64_t{1} << 60) / p.channels, op, ": more than 2^60 values");
  product(p.large, planes);
  product(p.small, planes);
  check(p.index != Index::i32 || p.large_plane() < (std::int64_t{1} << 31), op,
        ": int32 indices need planes of less than 2^31 pixels, got ", p.large_plane());
}

bool codes_fit(const Problem& p, const std::uint8_t* codes, std::int64_t od, std::int64_t oh, std::int64_t n) {
  const std::int64_t pitch = p.channels_last ? p.channels : 1, width = p.small[2] * pitch;
  if (!kernel_table().codes_below(codes, n * width, static_cast<int>(p.taps()))) return false;
  const Taps d = taps_of(p, 0, od), h = taps_of(p, 1, oh);
  const bool whole = d.first == 0 && d.last == p.kernel[0] && h.first == 0 && h.last == p.kernel[1];
  if (whole && all_inside(p, 2)) return true;
  for (std::int64_t r = 0; r < n; ++r)
    for (std::int64_t o = 0; o < p.small[2]; ++o) {
      const Taps w = taps_of(p, 2, o);
      if (whole && w.first == 0 && w.last == p.kernel[2]) continue;
      for (std::int64_t c = 0; c < pitch; ++c) {
        const int code = codes[r * width + o * pitch + c];
        const std::int64_t kw = code % p.kernel[2], kh = code / p.kernel[2] % p.kernel[1],
                           kd = code / p.kernel[2] / p.kernel[1];
        if (kd < d.first || kd >= d.last || kh < h.first || kh >= h.last || kw < w.first || kw >= w.last) return false;
      }
    }
  return true;
}

void check_codes(const Problem& p, const std::uint8_t* codes, std::int64_t od, std::int64_t oh, std::int64_t n) {
  if (codes_fit(p, codes, od, oh, n)) return;
  const std::int64_t count = n * p.small[2] * (p.channels_last ? p.channels : 1);
  const int worst = *std::max_element(codes, codes + count);
  if (worst >= p.taps()) bad_index(worst, p.taps());
  throw std::out_of_range(text("max_unpool: an index must be of a pixel in the image of ", p.large[0], " x ",
                               p.large[1], " x ", p.large[2], ", one of pooled row ", oh, " is beside it"));
}

void huge_pages(void* data, std::int64_t bytes) { prefer_huge_pages(data, bytes, std::int64_t{4} << 20); }

}  // namespace pyseg::max_unpool
