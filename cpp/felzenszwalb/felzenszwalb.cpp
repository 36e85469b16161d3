// Checks, and the image cut into tiles. See felzenszwalb.h.
#include "felzenszwalb/felzenszwalb.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <vector>

#include "core/check.h"
#include "core/workspace.h"
#include "felzenszwalb/border.h"
#include "felzenszwalb/smooth.h"
#include "felzenszwalb/tile.h"

namespace pyseg::felzenszwalb {
namespace {

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 31) - 1, kMaxChannels = 1 << 16;

struct Worker {
  Band band;
  Tile tile;
  std::vector<Edge> edges;
  std::vector<Crossing> crossings;
};

class Tiles {
 public:
  std::int64_t run(const ImageView& image, const Options& options, std::int32_t* labels, const Executor& exec);

 private:
  void segment_row(const ImageView& image, const Options& options, std::int64_t row, Worker& worker);

  std::int64_t rows_ = 0, columns_ = 0;  // of tiles
  std::vector<double> kernel_;
  Components components_{};
  Scratch<std::int32_t> parent_, size_, first_;
  Scratch<float> tolerance_;
  std::vector<Border::Part> parts_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Border border_;
};

void Tiles::segment_row(const ImageView& image, const Options& options, std::int64_t row, Worker& worker) {
  const std::int64_t h = image.height(), w = image.width();
  const std::int64_t top = h * row / rows_, bottom = h * (row + 1) / rows_;
  const bool finite = worker.band.load(image, kernel_, std::max<std::int64_t>(0, top - 1), std::min(h, bottom + 1));
  check(finite, "felzenszwalb: image must be finite, of magnitudes up to ", kMaxValue, ", got ", worker.band.worst());
  for (std::int64_t column = 0; column < columns_; ++column) {
    const std::int64_t left = w * column / columns_, right = w * (column + 1) / columns_;
    const auto first = static_cast<std::int32_t>(top * w + left * (bottom - top));
    const TilePlace place{h, w, top, left, static_cast<int>(bottom - top), static_cast<int>(right - left), first};
    const int count = worker.tile.segment(worker.band, image.channels(), place, options.scale / 255.0, options.min_size,
                                          components_, worker.edges, worker.crossings);
    parts_[static_cast<std::size_t>(row * columns_ + column)] = {first, count};
  }
}

std::int64_t Tiles::run(const ImageView& image, const Options& options, std::int32_t* labels, const Executor& exec) {
  const std::int64_t pixels = image.pixels();
  rows_ = (image.height() + kRows - 1) / kRows;
  if (rows_ > 1) rows_ = (rows_ + 3) / 4 * 4;  // as many for each of 2 or 4 threads
  columns_ = (image.width() + kColumns - 1) / kColumns;
  kernel_ = options.kernel.empty() ? half_kernel(options.sigma) : options.kernel;
  components_ = {labels, parent_.take(pixels), size_.take(pixels), tolerance_.take(pixels), first_.take(pixels)};
  parts_.resize(static_cast<std::size_t>(rows_ * columns_));
  const auto threads = static_cast<std::size_t>(std::min<std::int64_t>(exec.threads(), rows_));
  while (workers_.size() < threads) workers_.push_back(std::make_unique<Worker>());
  for (auto& worker : workers_) {
    worker->edges.clear();
    worker->crossings.clear();
  }
  std::atomic<std::int64_t> next{0};  // rows differ in cost: who is done takes the next
  exec.each(static_cast<std::int64_t>(threads), [&](std::int64_t i) {
    for (std::int64_t row; (row = next.fetch_add(1)) < rows_;)
      segment_row(image, options, row, *workers_[static_cast<std::size_t>(i)]);
  });
  exec.each(static_cast<std::int64_t>(threads), [&](std::int64_t i) {
    Worker& worker = *workers_[static_cast<std::size_t>(i)];
    resolve(worker.crossings, image.width(), components_, options.min_size, worker.edges);
  });
  std::vector<const std::vector<Edge>*> lists;
  for (const auto& worker : workers_) lists.push_back(&worker->edges);
  border_.walk(lists, options.scale / 255.0, options.min_size, components_);
  return border_.label(parts_, pixels, options.start_label, components_, exec);
}

}  // namespace

void check_size(const ImageView& image) {
  double pixels = 1;
  for (std::size_t d = 0; d < 4; ++d) {
    check(image.shape[d] >= 1, "felzenszwalb: image must not be empty, got height ", image.height(), ", width ",
          image.width(), ", channels ", image.channels());
    if (d < 3) pixels *= static_cast<double>(image.shape[d]);
  }
  check(image.depth() == 1, "felzenszwalb: image must have two axes and channels, got depth ", image.depth());
  check(pixels <= static_cast<double>(kMaxPixels), "felzenszwalb: image must have at most 2^31 - 1 pixels, got ",
        pixels);
  check(image.channels() <= kMaxChannels, "felzenszwalb: image must have at most ", kMaxChannels, " channels, got ",
        image.channels());
}

std::int64_t felzenszwalb(const ImageView& image, const Options& options, std::int32_t* labels, const Executor& exec) {
  (void)isa();  // an unknown PYSEG_ISA is an error here, not in a thread
  check_size(image);
  check(std::isfinite(options.scale) && options.scale > 0, "felzenszwalb: scale must be finite and > 0, got ",
        options.scale);
  check(options.sigma >= 0 && options.sigma <= kMaxSigma, "felzenszwalb: sigma must be 0 .. ", kMaxSigma, ", got ",
        options.sigma);
  check(options.kernel.size() <= static_cast<std::size_t>(4 * kMaxSigma + 1) &&
            std::all_of(options.kernel.begin(), options.kernel.end(), [](double k) { return k >= 0 && k <= 1; }),
        "felzenszwalb: kernel must be of at most ", 4 * kMaxSigma + 1, " taps of 0 .. 1");
  check(options.min_size >= 0, "felzenszwalb: min_size must be >= 0, got ", options.min_size);
  check(options.start_label >= 0, "felzenszwalb: start_label must be >= 0, got ", options.start_label);
  check(std::int64_t{options.start_label} + image.pixels() <= kMaxPixels,
        "felzenszwalb: start_label + the number of pixels must be at most ", kMaxPixels, ", got start_label ",
        options.start_label);
  static thread_local Tiles tiles;
  return tiles.run(image, options, labels, exec);
}

}  // namespace pyseg::felzenszwalb
