#include "felzenszwalb/tile.h"

#include <algorithm>
#include <array>
#include <limits>

namespace pyseg::felzenszwalb {
namespace {

constexpr std::uint64_t kDone = ~std::uint64_t{0};
constexpr int kBlock = 256;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::uint16_t kOpen = 0, kLarge = 0xFFFF;
constexpr std::uint16_t kNone = 0xFFFF;
constexpr std::uint32_t kEnds = (1u << kBits) + 1;  // of an edge, both moved on by a pixel

std::uint32_t edge_of(std::uint32_t from, std::uint32_t to) { return from << kBits | to; }
std::uint32_t from(std::uint32_t edge) { return edge >> kBits; }
std::uint32_t to(std::uint32_t edge) { return edge & (kArea - 1); }
bool leaves(std::uint32_t edge) { return from(edge) == to(edge); }
int row(std::uint32_t pixel) { return static_cast<int>(pixel >> kColumnBits); }
int column(std::uint32_t pixel) { return static_cast<int>(pixel & (kColumns - 1)); }
// By what is between an edge's two pixels.
constexpr auto kKindOf = [] {
  std::array<std::uint8_t, kColumns + 2> kinds{};
  for (int kind = 0; kind < kKinds; ++kind)
    kinds[static_cast<std::size_t>(kToY[kind] * kColumns + kToX[kind] - kFromX[kind])] =
        static_cast<std::uint8_t>(kind);
  return kinds;
}();
int kind_of(std::uint32_t edge) { return kKindOf[to(edge) - from(edge)]; }
std::uint32_t corner_of(std::uint32_t edge) { return from(edge) - static_cast<std::uint32_t>(kFromX[kind_of(edge)]); }

}  // namespace

Tile::Pixel Tile::join(Pixel a, Pixel b) {
  if (size_[a] < size_[b]) std::swap(a, b);
  Pixel p = b;
  do {
    of_[p] = a;
    p = next_[p];
  } while (p != b);
  std::swap(next_[a], next_[b]);
  size_[a] = static_cast<std::uint16_t>(size_[a] + size_[b]);
  return a;
}

double Tile::weight(std::uint32_t edge) const {
  if (leaves(edge)) return nearest_outside(row(to(edge)), column(to(edge)));
  const std::uint32_t corner = corner_of(edge);
  return weights_[static_cast<std::size_t>(at(kind_of(edge), row(corner), column(corner)))];
}

void Tile::weigh(const Band& band, std::int64_t channels) {
  const int left = place_.x > 0 ? -1 : 0;
  for (int y = place_.y > 0 ? -1 : 0; y < place_.height; ++y) {
    double* out[kKinds];
    for (int kind = 0; kind < kKinds; ++kind) out[kind] = weights_.data() + at(kind, y, left);
    const std::int64_t below = std::min(place_.y + y + 1, place_.image_height - 1);
    smooth_kernels().weigh(band.row(place_.y + y) + place_.x + left, band.row(below) + place_.x + left, channels,
                           band.stride(), place_.width - left, out);
  }
}

// The least weight of a pixel's edges that leave the tile; infinity where it has none.
double Tile::nearest_outside(int y, int x) const {
  static constexpr int kKindTo[3][3] = {{2, 1, 3}, {0, -1, 0}, {3, 1, 2}};
  double least = std::numeric_limits<double>::infinity();
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx) {
      const std::int64_t ny = place_.y + y + dy, nx = place_.x + x + dx;
      const bool here = y + dy >= 0 && y + dy < place_.height && x + dx >= 0 && x + dx < place_.width;
      if (here || ny < 0 || nx < 0 || ny >= place_.image_height || nx >= place_.image_width) continue;
      least = std::min(least, weights_[at(kKindTo[dy + 1][dx + 1], y + std::min(dy, 0), x + std::min(dx, 0))]);
    }
  return least;
}

// Adds the edges that leave the tile, one for each pixel at its border: those of weight 0, or the others.
std::uint64_t* Tile::collect_leaving(bool zeros, std::uint64_t* out) const {
  const int h = place_.height, w = place_.width;
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; x += y == 0 || y == h - 1 ? 1 : std::max(1, w - 1)) {
      const double least = nearest_outside(y, x);
      if (least < std::numeric_limits<double>::infinity() && (least == 0) == zeros)
        smooth_kernels().key(&least, static_cast<std::uint32_t>(y << kColumnBits | x) * kEnds, 0, 1, out++);
    }
  return out;
}

// All edges, in the order that decides between equal weights, and those that leave the tile before the others of their
// weight. With `zeros_unite` not those of weight 0: edges of weight 0 unite whatever comes first, where k / size does
// not vanish in float32. Else areas of one colour would be open from the tile's border inwards, pixel by pixel.
void Tile::collect(bool zeros_unite) {
  const int h = place_.height, w = place_.width;
  std::uint64_t* out = collect_leaving(false, items_.data());
  if (!zeros_unite) out = collect_leaving(true, out);
  for (int kind = 0; kind < kKinds; ++kind) {
    const int columns = kind == 1 ? w : w - 1, rows = kind == 0 ? h : h - 1;
    for (int y = 0; y < rows; ++y, out += columns) {
      const auto corner = static_cast<std::uint32_t>(y << kColumnBits);
      const auto first = edge_of(corner + static_cast<std::uint32_t>(kFromX[kind]),
                                 corner + static_cast<std::uint32_t>(kToY[kind] * kColumns + kToX[kind]));
      smooth_kernels().key(weights_.data() + at(kind, y, 0), first, kEnds, columns, out);
    }
  }
  if (zeros_unite) out = collect_leaving(true, out);
  count_ = out - items_.data();
}

void Tile::sort(bool zeros_unite) {
  radix_pass<11>(items_.data(), other_.data(), count_, 40);
  radix_pass<12>(other_.data(), items_.data(), count_, 51);
  settle(items_.data(), count_, 40, ties_, [&](std::uint64_t item) -> Tie {
    const auto edge = static_cast<std::uint32_t>(item);
    const double w = weight(edge);
    if (leaves(edge)) return {w, zeros_unite && w == 0 ? ~std::uint64_t{0} : 0, item};
    return {w, order_of(kind_of(edge), corner_of(edge), false) + 1, item};
  });
}

// The walk by weight. Of the items stay those that may matter to absorb().
//
// In blocks: first, without a branch, what stays so whatever the block's edges do: of no effect, or refused because a
// component tolerates less than the block's first edge; then the others one by one.
void Tile::unite(double k) {
  for (int p = 0; p < kArea; ++p) of_[p] = next_[p] = static_cast<Pixel>(p);
  std::fill_n(size_, kArea, std::uint16_t{1});
  std::fill_n(tolerance_, kArea, static_cast<float>(k));
  std::fill_n(kept_, kArea, static_cast<float>(k));
  pairs_.clear();
  united_late_.clear();
  std::uint64_t* out = items_.data();
  for (std::int64_t begin = 0; begin < count_; begin += kBlock) {
    std::uint64_t block[kBlock];
    std::uint16_t open_questions[kBlock];
    int n = 0, m = 0;
    const float first = weight_of(items_[static_cast<std::size_t>(begin)]);
    for (std::int64_t i = begin; i < std::min(count_, begin + kBlock); ++i) {
      const std::uint64_t item = items_[static_cast<std::size_t>(i)];
      const auto edge = static_cast<std::uint32_t>(item);
      const Pixel a = of_[from(edge)], b = of_[to(edge)];
      const int matters = static_cast<int>(a != b) | static_cast<int>(leaves(edge));
      block[n] = item;
      open_questions[m] = static_cast<std::uint16_t>(n);
      const float least = std::min(tolerance_[a], tolerance_[b]);
      n += matters;
      m += matters & static_cast<int>(first <= least);
    }
    for (int j = 0; j < m; ++j) decide(block[open_questions[j]], k);
    for (int j = 0; j < n; ++j) {
      *out = block[j];
      out += block[j] != kDone;
    }
  }
  count_ = out - items_.data();
}

// What an edge does. The item becomes kDone where it is of no effect from then on.
void Tile::decide(std::uint64_t& item, double k) {
  const auto edge = static_cast<std::uint32_t>(item);
  const Pixel a = of_[from(edge)], b = of_[to(edge)];
  const float least = std::min(tolerance_[a], tolerance_[b]), rounded = weight_of(item);
  const auto open = [&](Pixel c) {
    kept_[c] = tolerance_[c] < kInfinity ? tolerance_[c] : kept_[c];
    tolerance_[c] = kInfinity;
  };
  // Rounding keeps order: float32 decides unless it is equal.
  if (rounded > least || (rounded == least && weight(edge) >= static_cast<double>(least))) return;
  if (leaves(edge)) {
    open(a);
  } else if (a == b) {
    item = kDone;
  } else if (std::max(tolerance_[a], tolerance_[b]) < kInfinity) {
    const Pixel c = join(a, b);
    tolerance_[c] = static_cast<float>(weight(edge) + k / size_[c]);
    item = kDone;
  } else if (pairs_.add(a, b)) {
    open(a);
    open(b);
    united_late_.push_back(edge);
    item = kDone;  // for absorb() too: both are open or large from its start
  } else {
    item = kDone;
  }
}

// What the walk by size starts from.
void Tile::close(std::int64_t min_size) {
  for (int y = 0; y < place_.height; ++y)
    for (int x = 0; x < place_.width; ++x) {
      const int p = y << kColumnBits | x;
      open_[p] = tolerance_[of_[p]] == kInfinity;
      if (of_[p] != p) continue;
      mass_[p] = size_[p] >= min_size ? kLarge : open_[p] ? kOpen : size_[p];
      open_size_[p] = size_[p];
      if (!open_[p]) kept_[p] = -1.0f;
    }
}

// The walk by size, in blocks as well.
void Tile::absorb(std::int64_t min_size) {
  pairs_.clear();
  absorbed_late_.clear();
  if (min_size <= 1) return;
  for (std::int64_t begin = 0; begin < count_; begin += kBlock) {
    std::uint32_t block[kBlock];
    int n = 0;
    for (std::int64_t i = begin; i < std::min(count_, begin + kBlock); ++i) {
      const auto edge = static_cast<std::uint32_t>(items_[static_cast<std::size_t>(i)]);
      const Pixel a = of_[from(edge)], b = of_[to(edge)];
      block[n] = edge;
      n += (static_cast<int>(a != b) | static_cast<int>(leaves(edge))) &
           static_cast<int>((mass_[a] & mass_[b]) != kLarge);
    }
    for (int j = 0; j < n; ++j) absorb_by(block[j], min_size);
  }
}

void Tile::absorb_by(std::uint32_t edge, std::int64_t min_size) {
  const Pixel a = of_[from(edge)], b = of_[to(edge)];
  if ((mass_[a] & mass_[b]) == kLarge) return;
  if (leaves(edge)) {
    mass_[a] = kOpen;
  } else if (a == b) {
    return;
  } else if (mass_[a] == kOpen || mass_[b] == kOpen) {
    for (const Pixel c : {a, b})
      if (mass_[c] != kLarge) mass_[c] = kOpen;
    if (pairs_.add(a, b)) absorbed_late_.push_back(edge);
  } else {
    const bool large = mass_[a] == kLarge || mass_[b] == kLarge;
    const Pixel before = kept_[a] >= 0 ? a : b, c = join(a, b);
    mass_[c] = large || size_[c] >= min_size ? kLarge : size_[c];
    open_size_[c] = open_size_[before];
    kept_[c] = kept_[before];
  }
}

int Tile::number(const Components& components) {
  int count = 0;
  std::fill_n(number_, kArea, kNone);
  for (int y = 0; y < place_.height; ++y)
    for (int x = 0; x < place_.width; ++x) {
      const int p = y << kColumnBits | x;
      const std::int64_t pixel = (place_.y + y) * place_.image_width + place_.x + x;
      const Pixel a = of_[p];
      if (number_[a] == kNone) {
        const std::int32_t c = place_.first_component + count;
        components.parent[c] = c;
        components.size[c] = kept_[a] >= 0 ? open_size_[a] : size_[a];
        components.tolerance[c] = kept_[a];
        components.first[c] = static_cast<std::int32_t>(pixel);
        number_[a] = static_cast<std::uint16_t>(count++);
      }
      const std::int32_t c = place_.first_component + number_[a];
      components.of[pixel] = open_[p] ? c : ~c;
    }
  return count;
}

void Tile::emit(std::vector<Edge>& put_off, std::vector<Crossing>& crossings) const {
  const auto pixel_of = [&](int y, int x) { return (place_.y + y) * place_.image_width + place_.x + x; };
  for (const auto* late : {&united_late_, &absorbed_late_})
    for (const std::uint32_t edge : *late) {
      const std::uint32_t corner = corner_of(edge);
      put_off.push_back(
          {weight(edge), order_of(kind_of(edge), pixel_of(row(corner), column(corner)), late == &absorbed_late_),
           place_.first_component + number_[of_[from(edge)]], place_.first_component + number_[of_[to(edge)]]});
    }
  const int h = place_.height, w = place_.width;
  for (int y = 0; y < h; ++y)
    for (int x = y == h - 1 ? 0 : w - 1; x < w; ++x)
      for (int kind = 0; kind < kKinds; ++kind) {
        const bool right = kind != 1, down = kind != 0;
        if (!(right && x == w - 1) && !(down && y == h - 1)) continue;
        if ((right && place_.x + x + 1 >= place_.image_width) || (down && place_.y + y + 1 >= place_.image_height))
          continue;
        crossings.push_back(
            {weights_[static_cast<std::size_t>(at(kind, y, x))], kind, static_cast<std::int32_t>(pixel_of(y, x))});
      }
}

int Tile::segment(const Band& band, std::int64_t channels, const TilePlace& place, double k, std::int64_t min_size,
                  const Components& components, std::vector<Edge>& put_off, std::vector<Crossing>& crossings) {
  place_ = place;
  weigh(band, channels);
  const bool zeros_unite = k > 1e-30;
  collect(zeros_unite);
  sort(zeros_unite);
  unite(k);
  close(min_size);
  absorb(min_size);
  const int count = number(components);
  emit(put_off, crossings);
  return count;
}

}  // namespace pyseg::felzenszwalb
