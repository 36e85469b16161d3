// Runs slic's kernels by host execution on made-up images and compares each label with the CPU op's.
//   slic_driver                  lists the cases
//   slic_driver case...          exits with 1 where a label or a count differs
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/scan.cuh"
#include "lab/lab.cuh"
#include "lab/lab.h"
#include "slic/slic.cuh"

using pyseg::slic::Options;
using pyseg::slic::cuda::Shape;
using pyseg::slic::cuda::Strides;
using Bytes = std::vector<std::uint8_t>;

namespace {

struct Case {
  Shape shape;  // images, height, width, channels
  std::string fill;
  Options options;
  std::string layout = "interleaved";  // or planar, mirrored
  std::vector<double> centers = {};    // [images, n_centers, center_width]
};

std::uint8_t value_at(const std::string& fill, const Shape& s, std::mt19937& random, std::int64_t image, std::int64_t y,
                      std::int64_t x, std::int64_t c) {
  const auto noise = [&](unsigned range) { return static_cast<std::int64_t>(random() % range); };
  const bool inside =
      (x - s.width / 2) * (x - s.width / 2) + (y - s.height / 3) * (y - s.height / 3) < s.width * s.width / 9;
  if (fill == "noise") return static_cast<std::uint8_t>(noise(256));
  if (fill == "islands") {  // flat blocks in a sea of dust
    const bool island = x % 24 < 9 && y % 20 < 8;
    return static_cast<std::uint8_t>(island ? 40 * (x / 24) + 50 * (y / 20) + 20 * c : noise(256));
  }
  if (fill == "flat") return static_cast<std::uint8_t>(90 + 40 * c + 7 * image);
  if (fill == "gradient")
    return static_cast<std::uint8_t>((x * 255 / s.width + y * (c + 1) * 255 / s.height) / (c + 2));
  if (fill == "checks") return static_cast<std::uint8_t>((x / 3 + y / 3 + c) % 2 * 160 + 20);
  if (fill == "dust") return static_cast<std::uint8_t>(noise(9) == 0 ? noise(256) : 70 + 50 * c + (inside ? 60 : 0));
  return static_cast<std::uint8_t>((inside ? 150 : 40) + 30 * c + x / 2 + noise(24) + 10 * image);  // "photo"
}

// The image's bytes and how to walk them.
struct Image {
  Bytes bytes;
  std::int64_t origin = 0;
  Strides strides{};

  explicit Image(const Case& c)
      : bytes(static_cast<std::size_t>(c.shape.images * c.shape.height * c.shape.width * c.shape.channels)) {
    const Shape& s = c.shape;
    if (c.layout == "planar") {
      strides = {s.channels * s.height * s.width, s.width, 1, s.height * s.width};
    } else {
      strides = {s.height * s.width * s.channels, s.width * s.channels, s.channels, 1};
      if (c.layout == "mirrored") {
        origin = (s.height - 1) * strides.y + (s.width - 1) * strides.x;
        strides.y = -strides.y;
        strides.x = -strides.x;
      }
    }
    std::mt19937 random(12345);
    for (std::int64_t n = 0; n < s.images; ++n)
      for (std::int64_t y = 0; y < s.height; ++y)
        for (std::int64_t x = 0; x < s.width; ++x)
          for (std::int64_t k = 0; k < s.channels; ++k)
            bytes[static_cast<std::size_t>(origin + n * strides.image + y * strides.y + x * strides.x +
                                           k * strides.channel)] = value_at(c.fill, s, random, n, y, x, k);
  }
  const std::uint8_t* at(std::int64_t image) const { return bytes.data() + origin + image * strides.image; }
};

bool agrees(const std::string& name, const Case& c) {
  const Image image(c);
  const std::int64_t pixels = c.shape.height * c.shape.width;
  const auto all = static_cast<std::size_t>(c.shape.images * pixels);
  Options options = c.options;
  if (!c.centers.empty()) options.centers = c.centers.data();

  std::vector<std::int32_t> expected(all), labels(all, -7);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(c.shape.images), -7);
  const pyseg::slic::cuda::Plan plan = pyseg::slic::cuda::make_plan(c.shape, options);
  const auto bytes = static_cast<std::size_t>(pyseg::slic::cuda::workspace_bytes(plan));
  const std::unique_ptr<std::uint8_t[]> workspace(new std::uint8_t[bytes]);
  std::memset(workspace.get(), 0xCB, bytes);
  if (pyseg::slic::cuda::slic(plan, image.at(0), image.strides, labels.data(), counts.data(), workspace.get(),
                              nullptr) != cudaSuccess)
    return false;

  std::int64_t wrong = 0, most = 0;
  for (std::int64_t n = 0; n < c.shape.images; ++n) {
    pyseg::ImageView view;
    view.data = reinterpret_cast<const std::byte*>(image.at(n));
    view.shape = {1, c.shape.height, c.shape.width, c.shape.channels};
    view.stride = {0, image.strides.y, image.strides.x, image.strides.channel};
    if (options.centers != nullptr) options.centers = c.centers.data() + n * options.n_centers * options.center_width;
    const std::int64_t count =
        pyseg::slic::slic(view, pyseg::MaskView{}, options, expected.data() + n * pixels, pyseg::serial());
    wrong += count != counts[static_cast<std::size_t>(n)];
    most = std::max(most, count);
  }
  std::uint32_t hash = 2166136261u;
  for (std::size_t i = 0; i < all; ++i) {
    wrong += labels[i] != expected[i];
    hash = (hash ^ static_cast<std::uint32_t>(labels[i])) * 16777619u;
  }
  std::printf("%s: %lld differ, up to %lld labels, hash %08x\n", name.c_str(), static_cast<long long>(wrong),
              static_cast<long long>(most), hash);
  return wrong == 0;
}

std::vector<double> pile(std::int64_t images, std::int64_t count, double y, double x, double spread) {
  std::vector<double> rows;
  for (std::int64_t i = 0; i < images * count; ++i)
    for (const double v : {0.0, y + spread * static_cast<double>(i % 5), x + spread * static_cast<double>(i % 7)})
      rows.push_back(v);
  return rows;
}

Options some(std::int64_t n_segments, bool to_lab = true) {
  Options o;
  o.min_size_factor = 0.5;
  o.n_segments = n_segments;
  o.to_lab = to_lab;
  return o;
}

template <typename Change>
Options with(Options o, Change change) {
  change(o);
  return o;
}

std::map<std::string, Case> cases() {
  std::map<std::string, Case> all;
  all["photo"] = {{1, 53, 70, 3}, "photo", some(14)};
  all["photo_smooth"] = {{2, 53, 67, 3}, "photo", with(some(14), [](Options& o) { o.sigma = {0, -1, -1}; })};
  all["noise_smooth"] = {{1, 37, 41, 3}, "noise", with(some(50), [](Options& o) { o.sigma = {0, -1, -1}; }), "planar"};
  all["grey_smooth"] = {{1, 33, 50, 1}, "noise", with(some(14, false), [](Options& o) { o.sigma = {0, -1, -1}; })};
  all["one_row_smooth"] = {{1, 1, 47, 3}, "noise", with(some(7), [](Options& o) { o.sigma = {0, -1, -1}; })};
  all["photo_batch"] = {{2, 37, 50, 3}, "photo", some(8), "planar"};
  all["photo_mirrored"] = {{1, 40, 45, 3}, "photo", with(some(30), [](Options& o) { o.start_label = 5; }), "mirrored"};
  all["large_tiles"] = {{1, 40, 52, 3}, "photo", some(3)};
  all["noise"] = {{1, 34, 41, 3}, "noise", some(6)};
  all["noise_small_tiles"] = {{1, 30, 33, 3}, "noise", some(40)};
  all["noise_kept"] = {{1, 30, 33, 3}, "noise", with(some(5), [](Options& o) { o.min_size_factor = 0; })};
  all["noise_all_small"] = {{2, 34, 33, 3}, "noise", with(some(6), [](Options& o) { o.min_size_factor = 50; })};
  all["dust"] = {{1, 45, 48, 3}, "dust", with(some(10), [](Options& o) { o.compactness = 2; })};
  all["dust_fine"] = {{1, 40, 40, 3}, "dust", with(some(60), [](Options& o) { o.min_size_factor = 1; })};
  all["islands"] = {{1, 56, 70, 3}, "islands", with(some(30), [](Options& o) { o.min_size_factor = 0.4; })};
  all["islands_batch"] = {{2, 45, 48, 3}, "islands", with(some(10), [](Options& o) { o.min_size_factor = 0.2; })};
  all["flat"] = {{1, 33, 47, 3}, "flat", some(9)};
  all["gradient"] = {{1, 36, 40, 3}, "gradient", with(some(12), [](Options& o) { o.compactness = 0.01; })};
  all["checks"] = {{1, 32, 32, 1}, "checks", with(some(16, false), [](Options& o) { o.compactness = 1; })};
  all["grey"] = {{1, 35, 44, 1}, "photo", some(10, false)};
  all["two_channels"] = {{1, 35, 34, 2}, "photo", some(7, false)};
  all["rgb_values"] = {{1, 33, 34, 3}, "photo", some(7, false)};
  all["one_pixel"] = {{1, 1, 1, 3}, "photo", some(1)};
  all["as_many_as_pixels"] = {{2, 5, 7, 3}, "noise", some(100)};
  all["one_row"] = {{1, 1, 90, 3}, "photo", some(7)};
  all["one_column"] = {{1, 83, 1, 3}, "photo", some(4)};
  all["one_segment"] = {{1, 21, 18, 3}, "photo", some(1)};
  all["two_pixels"] = {{1, 2, 1, 3}, "noise", some(1)};
  all["tiny_tiles"] = {{1, 27, 30, 3}, "photo", some(110)};
  all["thousands"] = {{1, 96, 97, 3}, "photo", with(some(2304), [](Options& o) { o.max_iter = 2; })};
  all["clusters_only"] = {{2, 37, 35, 3}, "photo", with(some(9), [](Options& o) { o.enforce_connectivity = false; })};
  all["clusters_only_fine"] = {
      {1, 27, 30, 3}, "noise", with(some(70), [](Options& o) { o.enforce_connectivity = false; })};
  all["no_pass"] = {{1, 33, 40, 3}, "photo", with(some(10), [](Options& o) { o.max_iter = 0; })};
  all["to_rest"] = {{2, 33, 40, 3}, "photo", with(some(6), [](Options& o) { o.tol = 0.05; })};
  all["long_rest"] = {{1, 17, 20, 3}, "flat", with(some(4), [](Options& o) {
                        o.tol = 0;
                        o.max_iter = 100000;
                      })};
  // More candidates than a byte (and shared memory) holds; and tiles far from every centre, whose windows double.
  const auto given = [](std::int64_t n, std::int64_t width) {
    return with(some(1), [&](Options& o) {
      o.n_centers = n;
      o.center_width = width;
      o.max_iter = 3;
    });
  };
  all["pile"] = {{1, 64, 60, 3}, "photo", given(300, 3), "interleaved", pile(1, 300, 9.3, 11.6, 0.0)};
  all["pile_large_tiles"] = {{1, 160, 168, 3},
                             "photo",
                             with(given(260, 3), [](Options& o) { o.max_iter = 1; }),
                             "interleaved",
                             pile(1, 260, 70.3, 91.6, 0.1)};
  all["pile_spread"] = {{1, 44, 40, 3}, "noise", given(150, 3), "interleaved", pile(1, 150, 3.0, 4.0, 0.4)};
  all["corner"] = {{1, 90, 110, 3}, "photo", given(40, 3), "interleaved", pile(1, 40, 2.0, 3.0, 1.3)};
  all["outside"] = {{1, 40, 50, 3}, "photo", given(6, 3), "interleaved", pile(1, 6, -9.0, 44.0, 40.0)};
  std::vector<double> colored;
  for (int i = 0; i < 2 * 6; ++i)
    for (const double v : {0.0, 3.0 + 6 * (i % 6), 35.5 - 5 * (i % 6), 20.0 + 9 * i, -140.0 + 30 * i, 12.25 * i})
      colored.push_back(v);
  all["colored"] = {{2, 40, 42, 3}, "photo", given(6, 6), "interleaved", colored};
  return all;
}

// Prefix sums of one chunk, of several, and of chunks of more than one step.
bool scans() {
  bool all = true;
  for (const std::int64_t n : {1, 255, 2047, 2048, 2049, 9000, 600000}) {
    const std::int64_t rows = n > 10000 ? 1 : 3;
    std::vector<std::int32_t> in(static_cast<std::size_t>(n * rows)), out(static_cast<std::size_t>((n + 1) * rows), -7);
    std::mt19937 random(7);
    for (auto& v : in) v = static_cast<std::int32_t>(random() % 5);
    std::vector<std::int32_t> scratch(static_cast<std::size_t>(pyseg::cuda::scan_scratch(n, rows)), -7);
    if (pyseg::cuda::exclusive_scan(in.data(), out.data(), n, rows, scratch.data(), nullptr) != cudaSuccess)
      return false;
    for (std::int64_t r = 0; r < rows; ++r) {
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i <= n; ++i) {
        all &= out[static_cast<std::size_t>(r * (n + 1) + i)] == sum;
        if (i < n) sum += in[static_cast<std::size_t>(r * n + i)];
      }
    }
  }
  return all;
}

// CIELAB of a lattice of colours, and of others by chance.
bool lab() {
  std::vector<std::uint8_t> in[3], out[3];
  const auto add = [&](std::uint32_t word) {
    for (int c = 0; c < 3; ++c) in[c].push_back(static_cast<std::uint8_t>(word >> (8 * c)));
  };
  for (std::uint32_t r = 0; r < 256; r += 5)
    for (std::uint32_t g = 0; g < 256; g += 5)
      for (std::uint32_t b = 0; b < 256; b += 5) add(r | g << 8 | b << 16);
  std::mt19937 random(3);
  for (int i = 0; i < 300000; ++i) add(random());
  for (auto& o : out) o.resize(in[0].size());
  pyseg::lab::kernels().bytes(in[0].data(), in[1].data(), in[2].data(), 1, static_cast<std::int64_t>(in[0].size()),
                              out[0].data(), out[1].data(), out[2].data());
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < in[0].size(); ++i) {
    const auto light = [&](int c) { return static_cast<float>(pyseg::kLinear16[in[c][i]]); };
    const std::uint32_t word = pyseg::lab::cuda::packed(light(0), light(1), light(2));
    wrong +=
        word != (out[0][i] | static_cast<std::uint32_t>(out[1][i]) << 8 | static_cast<std::uint32_t>(out[2][i]) << 16);
  }
  std::printf("lab: %lld differ\n", static_cast<long long>(wrong));
  return wrong == 0;
}

// What the kernels do not cover is refused in words.
bool refuses() {
  const auto said = [](const Shape& s, const Options& o) {
    try {
      pyseg::slic::cuda::make_plan(s, o);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const Shape rgb{1, 40, 40, 3};
  const std::pair<std::string, std::string> rows[] = {
      {said({1, 40, 40, 4}, some(9)), "channels"},
      {said({1, 0, 40, 3}, some(9)), "empty"},
      {said({1, 4000, 4000, 3}, some(2)), "wide"},
      {said(rgb, some(1000)), "wide"},
      {said(rgb, some(0)), "n_segments"},
      {said({1, 40, 40, 1}, some(9)), "convert2lab"},
      {said(rgb, with(some(9), [](Options& o) { o.compactness = 40; })), "compactness"},
      {said(rgb, with(some(9), [](Options& o) { o.compactness = -1; })), "compactness"},
      {said(rgb, with(some(9), [](Options& o) { o.slic_zero = true; })), "slic_zero"},
      {said(rgb, with(some(9), [](Options& o) { o.sigma[1] = 1; })), "sigma"},
      {said(rgb, with(some(9), [](Options& o) { o.spacing[2] = 2; })), "spacing"},
      {said({100000, 40, 40, 3}, some(9)), "images"},
      {said({1, 1 << 23, 4, 3}, some(9)), "height + width"},
  };
  bool all = true;
  for (const auto& [message, word] : rows) {
    if (message.find(word) != std::string::npos) continue;
    std::printf("refuses: '%s' does not name %s\n", message.c_str(), word.c_str());
    all = false;
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const auto all = cases();
  if (argc < 2) {
    std::printf("refuses\nscans\nlab\n");
    for (const auto& [name, c] : all) std::printf("%s\n", name.c_str());
    return 0;
  }
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    good &= name == "refuses" ? refuses()
            : name == "scans" ? scans()
            : name == "lab"   ? lab()
                              : agrees(name, all.at(name));
  }
  return good ? 0 : 1;
}
