// A kernel's features out of an image, its lattice and normalisation.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "dense_crf/dense_crf.h"

namespace pyseg::dense_crf {
namespace {

using permutohedral::kLanes;

constexpr std::int64_t kTile = 64;

// Features of an image's points in a given order, 16 at a time.
struct Reader {
  const Features& features;
  const ImageView& image;
  const std::uint32_t* order;
  std::int64_t points;
  std::vector<float> spatial, color;  // sigmas

  Reader(const Features& f, const ImageView& i, const std::uint32_t* o)
      : features(f), image(i), order(o), points(i.pixels()) {
    for (const double s : f.spatial) spatial.push_back(static_cast<float>(s));
    for (const double s : f.color) color.push_back(static_cast<float>(s));
  }
  int dims() const { return static_cast<int>(spatial.size() + color.size()); }

  void operator()(std::int64_t block, float* out) const {
    alignas(64) std::int32_t at[3][kLanes];
    std::int64_t offset[kLanes];
    const auto width = static_cast<std::uint32_t>(image.width()), height = static_cast<std::uint32_t>(image.height());
    std::uint32_t last = 0, x = 0, y = 0, z = 0;
    for (int i = 0; i < kLanes; ++i) {
      const std::uint32_t p = order[std::min(block * kLanes + i, points - 1)];
      if (i > 0 && p == last + 1 && x + 1 < width) {
        ++x;
      } else if (i == 0 || p != last) {
        y = p / width;
        x = p - y * width;
        z = y / height;
        y -= z * height;
      }
      last = p;
      at[0][i] = static_cast<std::int32_t>(z);
      at[1][i] = static_cast<std::int32_t>(y);
      at[2][i] = static_cast<std::int32_t>(x);
      offset[i] = z * image.stride[0] + y * image.stride[1] + x * image.stride[2];
    }
    for (std::size_t j = 0; j < spatial.size(); ++j, out += kLanes)
      for (int i = 0; i < kLanes; ++i) out[i] = static_cast<float>(at[features.axes[j]][i]) / spatial[j];
    for (std::size_t c = 0; c < color.size(); ++c, out += kLanes) {
      const std::byte* plane = image.data + static_cast<std::int64_t>(c) * image.stride[3];
      float value[kLanes];
      if (image.dtype == DType::u8)
        for (int i = 0; i < kLanes; ++i) value[i] = static_cast<float>(static_cast<std::uint8_t>(plane[offset[i]]));
      else
        for (int i = 0; i < kLanes; ++i) std::memcpy(value + i, plane + offset[i], sizeof(float));
      for (int i = 0; i < kLanes; ++i) out[i] = value[i] / color[c];
    }
  }

  // Least of each feature and of its negative, without looking at 8-bit pixels.
  std::vector<float> span() const {
    std::vector<float> least, most;
    for (std::size_t j = 0; j < spatial.size(); ++j) {
      least.push_back(0.0f);
      most.push_back(static_cast<float>(image.shape[static_cast<std::size_t>(features.axes[j])] - 1) / spatial[j]);
    }
    for (std::size_t c = 0; c < color.size(); ++c) {
      const auto [low, high] =
          image.dtype == DType::u8 ? std::pair{0.0f, 255.0f} : values(static_cast<std::int64_t>(c));
      least.push_back(low / color[c]);
      most.push_back(high / color[c]);
    }
    for (const float m : most) least.push_back(-m);
    return least;
  }

 private:
  std::pair<float, float> values(std::int64_t channel) const {
    float low = std::numeric_limits<float>::infinity(), high = -low, wrong = 0;
    for (std::int64_t z = 0; z < image.depth(); ++z)
      for (std::int64_t y = 0; y < image.height(); ++y) {
        const std::byte* row = image.row(z, y) + channel * image.stride[3];
        for (std::int64_t x = 0; x < image.width(); ++x, row += image.stride[2]) {
          float v;
          std::memcpy(&v, row, sizeof v);
          wrong += v * 0.0f;
          low = std::min(low, v);
          high = std::max(high, v);
        }
      }
    check(wrong == 0.0f, "dense_crf: image must be finite, got NaN or infinity");
    return {low, high};
  }
};

// Tiles of the image in raster order, their pixels in raster order.
void tile_order(const ImageView& image, std::vector<std::uint32_t>& order) {
  const std::int64_t depth = image.depth(), height = image.height(), width = image.width();
  const std::int64_t side = depth > 1 ? 16 : kTile, deep = depth > 1 ? 16 : 1;
  order.clear();
  order.reserve(static_cast<std::size_t>(image.pixels()));
  for (std::int64_t z0 = 0; z0 < depth; z0 += deep)
    for (std::int64_t y0 = 0; y0 < height; y0 += side)
      for (std::int64_t x0 = 0; x0 < width; x0 += side)
        for (std::int64_t z = z0; z < std::min(depth, z0 + deep); ++z)
          for (std::int64_t y = y0; y < std::min(height, y0 + side); ++y)
            for (std::int64_t x = x0; x < std::min(width, x0 + side); ++x)
              order.push_back(static_cast<std::uint32_t>((z * height + y) * width + x));
}

void check_features(const Features& f, const ImageView& image) {
  check(image.dtype == DType::u8 || image.dtype == DType::f32, "dense_crf: image must be uint8 or float32");
  check(!f.spatial.empty() && f.spatial.size() == f.axes.size(), "dense_crf: there must be one sigma a spatial axis");
  check(f.color.empty() || static_cast<std::int64_t>(f.color.size()) == image.channels(),
        "dense_crf: srgb must be one number, or one a channel, ", image.channels(), ", got ", f.color.size());
  for (const auto* sigmas : {&f.spatial, &f.color})
    for (const double s : *sigmas)
      check(std::isfinite(s) && static_cast<float>(s) > 0, "dense_crf: a sigma must be positive and finite, got ", s);
}

// The kernel of positions of the last call.
struct Positions {
  std::array<std::int64_t, 3> shape{};
  std::vector<float> sigmas;
  std::vector<int> axes;
  Normalization normalization = Normalization::none;
  std::shared_ptr<const Plan::Kernel> kernel;

  bool fits(const Reader& read, Normalization how) const {
    const auto& s = read.image.shape;
    return kernel != nullptr && shape == std::array{s[0], s[1], s[2]} && sigmas == read.spatial &&
           axes == read.features.axes && normalization == how;
  }
};

constexpr std::int64_t kKeptBytes = std::int64_t{64} << 20;

std::mutex positions_mutex;

Positions& positions() {
  static Positions* kept = new Positions;  // never destroyed: a thread may still hold what it points to at exit
  return *kept;
}

void normalize(Normalization normalization, const Executor& executor, Plan::Kernel& out) {
  if (normalization == Normalization::none) return;
  float* factor = out.factor.take(out.lattice.blocks * kLanes);
  permutohedral::normalizer(out.lattice, normalization == Normalization::symmetric, executor, factor);
  if (normalization != Normalization::after) out.before = factor;
  if (normalization != Normalization::before) out.after = factor;
}

std::shared_ptr<const Plan::Kernel> kernel_of_image(const Reader& read, Normalization how, const Executor& executor) {
  auto kernel = std::make_shared<Plan::Kernel>();
  const std::vector<float> span = read.span();
  permutohedral::build<float>("dense_crf", read.points, read.dims(), read, span.data(), executor, kernel->lattice);
  normalize(how, executor, *kernel);
  return kernel;
}

std::shared_ptr<const Plan::Kernel> kernel_of_positions(const Reader& read, Normalization how,
                                                        const Executor& executor) {
  // Never waits: another thread is at it, or, after a fork, one that is no more.
  if (std::unique_lock lock(positions_mutex, std::try_to_lock); lock.owns_lock() && positions().fits(read, how))
    return positions().kernel;
  auto kernel = kernel_of_image(read, how, executor);
  if (kernel->lattice.bytes() + kernel->factor.bytes() <= kKeptBytes) {
    const auto& s = read.image.shape;
    const std::unique_lock lock(positions_mutex, std::try_to_lock);
    if (lock.owns_lock()) positions() = {{s[0], s[1], s[2]}, read.spatial, read.features.axes, how, kernel};
  }
  return kernel;
}

std::shared_ptr<const Plan::Kernel> kernel_of_features(const Features& f, std::int64_t points, Normalization how,
                                                       const Executor& executor) {
  auto kernel = std::make_shared<Plan::Kernel>();
  const auto read = [&](std::int64_t block, float* to) {
    for (std::int64_t i = 0; i < kLanes; ++i) {
      const float* point = f.given + std::min(block * kLanes + i, points - 1) * f.dims;
      for (std::int64_t j = 0; j < f.dims; ++j) to[j * kLanes + i] = point[j];
    }
  };
  permutohedral::build<float>("dense_crf", points, static_cast<int>(f.dims), read, nullptr, executor, kernel->lattice);
  normalize(how, executor, *kernel);
  return kernel;
}

}  // namespace

std::vector<float> gains(const Plan& plan, const Executor& executor) {
  const std::vector<float> ones(static_cast<std::size_t>(plan.points), 1.0f);
  std::vector<float> filtered(ones.size()), result;
  for (const auto& k : plan.kernels) {
    permutohedral::filter_scaled<float>(k->lattice, ones.data(), 1, 1, k->before, k->after, false, executor,
                                        filtered.data(), 1);
    result.push_back(*std::max_element(filtered.begin(), filtered.end()));
  }
  return result;
}

void forget_positions() {
  const std::lock_guard lock(positions_mutex);
  positions() = {};
}

void make_plan(const std::vector<Features>& kernels, const ImageView& image, std::int64_t points,
               const std::vector<Normalization>& normalization, const Executor& executor, Plan& out) {
  check(points >= 1, "dense_crf: there must be at least one point");
  check(points <= (std::int64_t{1} << 30), "dense_crf: there must be at most 2^30 points, got ", points);
  out.points = points;
  bool given = false;
  for (const Features& f : kernels) {
    given = given || f.given != nullptr;
    if (f.given != nullptr) continue;
    check(image.pixels() == points, "dense_crf: image must have ", points, " pixels as the unary term, got ",
          image.pixels());
    check_features(f, image);
  }
  if (!given && !kernels.empty()) tile_order(image, out.order);
  std::vector<std::uint32_t> identity;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const Features& f = kernels[k];
    if (f.given != nullptr) {
      out.kernels.push_back(kernel_of_features(f, points, normalization[k], executor));
      continue;
    }
    if (given && identity.empty()) {
      identity.resize(static_cast<std::size_t>(points));
      std::iota(identity.begin(), identity.end(), 0u);
    }
    const Reader read(f, image, given ? identity.data() : out.order.data());
    out.kernels.push_back(f.color.empty() && !given ? kernel_of_positions(read, normalization[k], executor)
                                                    : kernel_of_image(read, normalization[k], executor));
  }
}

}  // namespace pyseg::dense_crf
