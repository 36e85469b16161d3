// The flow of TurboPixels: steps and skeletons, row by row. See flow.h.
#include "turbopixels/flow.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

namespace pyseg::turbopixels {
namespace {

constexpr std::int64_t kEvery = 6;  // steps from one skeleton to the next
constexpr double kGrowth = 1e-4;    // of all pixels, a step: less is the end
constexpr std::int64_t kRun = 32;   // groups that thinning takes at a time
constexpr std::int64_t kHalo = 4 * kShells;
constexpr std::int64_t kLeastBand = 16;  // rows that are worth a thread

}  // namespace

void Flow::start(std::int64_t height, std::int64_t width, const std::vector<Seed>& seeds, double radius) {
  height_ = height;
  width_ = width;
  groups_ = (groups(width) + kRun - 1) / kRun * kRun;
  words_ = (groups(width) + 63) / 64;
  psi_.take(height, width);
  moved_.take(height, width);
  settled_.take(height, width);
  std::fill_n(still_.take(height * groups_), height * groups_, std::uint16_t{0});
  std::fill_n(seeded_.take(height * groups_), height * groups_, std::uint16_t{0});
  for (Marks* marks : {&psi_marks_, &moved_marks_, &settled_marks_})
    for (auto* bits : {&marks->any, &marks->first, &marks->last})
      std::fill_n(bits->take(height * words_), height * words_, ~std::uint64_t{0});
  std::int32_t* owners = owners_.take((height + 2) * (width + 2));
  std::fill_n(owners, (height + 2) * (width + 2), -2);
  for (std::int64_t y = 0; y < height; ++y) {
    std::fill_n(this->owners(y), width, -1);
    std::fill_n(psi_.row(y), width, static_cast<float>(kBand));
  }
  const auto disc = static_cast<float>(radius);
  const auto reach = static_cast<std::int64_t>(std::ceil(radius)) + kBand;
  for (std::size_t k = 0; k < seeds.size(); ++k) {
    const auto [sy, sx] = seeds[k];
    seeded_.get()[sy * groups_ + sx / kGroup] |= static_cast<std::uint16_t>(1 << sx % kGroup);
    for (std::int64_t y = std::max<std::int64_t>(0, sy - reach); y <= std::min(height - 1, sy + reach); ++y)
      for (std::int64_t x = std::max<std::int64_t>(0, sx - reach); x <= std::min(width - 1, sx + reach); ++x) {
        const float distance = std::sqrt(static_cast<float>((y - sy) * (y - sy) + (x - sx) * (x - sx))) - disc;
        if (!(distance < psi_.row(y)[x])) continue;
        psi_.row(y)[x] = distance;
        if (distance < 0) this->owners(y)[x] = static_cast<std::int32_t>(k);
      }
  }
  for (std::int64_t y = 0; y < height; ++y) {
    close_row(psi_.row(y), width);
    for (const Plane* plane : {&moved_, &settled_}) std::copy_n(psi_.row(y) - 1, width + 1 + kGroup, plane->row(y) - 1);
  }
}

void Flow::run(const Plane& phi, double alpha, double beta, std::int64_t max_iter, const Executor& exec) {
  const double pixels = static_cast<double>(height_) * static_cast<double>(width_);
  std::int64_t before = 0;
  for (std::int64_t i = 0; i < max_iter; ++i) {
    if (i % kEvery == 0) {
      const std::int64_t area = skeleton(exec);
      if (i > 0 && 2.0 * static_cast<double>(area) > pixels &&
          static_cast<double>(area - before) < static_cast<double>(kEvery) * kGrowth * pixels)
        break;
      if (!changed()) break;  // nor will it
      before = area;
    }
    advance(phi, static_cast<float>(std::min(alpha, 1e6)), static_cast<float>(std::min(beta, 1e6)), exec);
  }
  for (std::int64_t y = 0; y < height_; ++y)
    for (std::int64_t x = 0; x < width_; ++x)
      if (!(psi_.row(y)[x] < 0)) owners(y)[x] = -1;
}

bool Flow::changed() const {
  const std::uint64_t* any = psi_marks_.any.get();
  return std::any_of(any, any + height_ * words_, [](std::uint64_t word) { return word != 0; });
}

Changes Flow::changes(const Marks& marks, std::int64_t y) const {
  return {marks.any.get() + y * words_, marks.first.get() + y * words_, marks.last.get() + y * words_};
}

// The groups of a row that have a marked pixel within 3x3, and `more`. False: none.
bool Flow::around(const Marks& marks, std::int64_t y, const std::uint64_t* more, std::uint64_t* which) const {
  std::copy_n(more, words_, which);
  for (std::int64_t r = std::max<std::int64_t>(0, y - 1); r <= std::min(height_ - 1, y + 1); ++r) {
    const Changes row = changes(marks, r);
    for (std::int64_t w = 0; w < words_; ++w) {
      which[w] |= row.any[w] | row.last[w] << 1 | row.first[w] >> 1;
      if (w > 0) which[w] |= row.last[w - 1] >> 63;
      if (w + 1 < words_) which[w] |= row.first[w + 1] << 63;
    }
  }
  if (const std::int64_t rest = groups(width_) % 64; rest != 0) which[words_ - 1] &= (std::uint64_t{1} << rest) - 1;
  return std::any_of(which, which + words_, [](std::uint64_t word) { return word != 0; });
}

void Flow::advance(const Plane& phi, float alpha, float beta, const Executor& exec) {
  const std::int64_t bands = std::clamp<std::int64_t>(height_ / kLeastBand, 1, exec.threads());
  const auto edge = [&](std::int64_t i) { return height_ * i / bands; };
  exec.each(bands, [&](std::int64_t i) {
    const std::int64_t begin = edge(i), end = edge(i + 1);
    // The rows of which all is known here.
    const std::int64_t top = i == 0 ? 0 : begin + 1, bottom = i + 1 == bands ? end : end - 1;
    const std::int64_t top2 = i == 0 ? 0 : begin + 2, bottom2 = i + 1 == bands ? end : end - 2;
    for (std::int64_t y = begin; y < end + 2; ++y) {
      if (y < end) move_row(y, phi, alpha, beta);
      if (y - 1 >= top && y - 1 < bottom) carry_row(y - 1, true);
      if (y - 2 >= top2 && y - 2 < bottom2) carry_row(y - 2, false);
    }
  });
  for (std::int64_t i = 1; i < bands; ++i) {
    for (std::int64_t y = edge(i) - 1; y < edge(i) + 1; ++y) carry_row(y, true);
    for (std::int64_t y = edge(i) - 2; y < edge(i) + 2; ++y) carry_row(y, false);
  }
}

void Flow::move_row(std::int64_t y, const Plane& phi, float alpha, float beta) {
  static thread_local Scratch<std::uint64_t> words;
  static thread_local Scratch<std::uint16_t> bits;
  const Changes mine = changes(moved_marks_, y);
  for (std::uint64_t* marks : {mine.any, mine.first, mine.last}) std::fill_n(marks, words_, 0);
  std::uint64_t* which = words.take(words_);
  if (!around(psi_marks_, y, changes(psi_marks_, y).any, which)) return;
  std::uint16_t* taken = bits.take(groups_);
  std::fill_n(taken, groups_, std::uint16_t{0});
  front_kernels().move({psi_.row(y - 1), psi_.row(y), psi_.row(y + 1)}, {phi.row(y - 1), phi.row(y), phi.row(y + 1)},
                       still_.get() + y * groups_, which, words_, alpha, beta, moved_.row(y), taken, mine);
  close_row(moved_.row(y), width_);
  take(y, taken);
}

void Flow::carry_row(std::int64_t y, bool settle) {
  static thread_local Scratch<std::uint64_t> words;
  const Plane &from = settle ? moved_ : settled_, &to = settle ? settled_ : psi_;
  const Changes mine = changes(settle ? settled_marks_ : psi_marks_, y);
  std::uint64_t* which = words.take(words_);
  const bool any = around(settle ? moved_marks_ : settled_marks_, y, changes(psi_marks_, y).any, which);
  for (std::uint64_t* marks : {mine.any, mine.first, mine.last}) std::fill_n(marks, words_, 0);
  if (!any) return;
  front_kernels().carry({from.row(y - 1), from.row(y), from.row(y + 1)}, psi_.row(y), which, words_, width_, settle,
                        to.row(y), mine);
  close_row(to.row(y), width_);
}

// Owners of the pixels that the front takes in: that of the neighbour of least psi.
void Flow::take(std::int64_t y, const std::uint16_t* taken) {
  const float *above = psi_.row(y - 1), *at = psi_.row(y), *below = psi_.row(y + 1);
  const std::int64_t line = width_ + 2, giver[4] = {-line, -1, 1, line};
  for (std::int64_t g = 0; g < groups(width_); ++g)
    for (unsigned m = taken[g]; m != 0; m &= m - 1) {
      const std::int64_t x = g * kGroup + std::countr_zero(m);
      if (x >= width_) break;
      const float around[4] = {above[x], at[x - 1], at[x + 1], below[x]};
      std::int32_t* owner = owners(y) + x;
      *owner = owner[giver[std::min_element(around, around + 4) - around]];
    }
}

std::int64_t Flow::skeleton(const Executor& exec) {
  std::atomic<std::int64_t> area{0};
  exec.run(height_, 2 * kHalo, [&](std::int64_t begin, std::int64_t end) { area += thin(begin, end); });
  return area;
}

// The skeleton of rows begin .. end - 1; returns how many pixels there are assigned.
std::int64_t Flow::thin(std::int64_t begin, std::int64_t end) {
  static thread_local Scratch<std::uint16_t> memory;
  const auto& kernels = front_kernels();
  const std::int64_t first = std::max<std::int64_t>(0, begin - kHalo), last = std::min(height_, end + kHalo);
  const std::int64_t rows = last - first, stride = groups_ + 2 * kRun;
  // A frame of unassigned pixels around the rows; shells of a row side by side.
  std::uint16_t* there = memory.take((rows + 2) * stride + rows * kShells * groups_);
  std::uint16_t* near = there + (rows + 2) * stride;
  std::fill_n(there, (rows + 2) * stride, std::uint16_t{0xFFFF});
  const auto row = [&](std::int64_t y) { return there + (y - first + 1) * stride + kRun; };
  const auto shell = [&](std::int64_t y, int i) { return near + ((y - first) * kShells + i) * groups_; };
  std::fill_n(near, rows * kShells * groups_, std::uint16_t{0});
  std::int64_t area = 0;
  for (std::int64_t y = first; y < last; ++y) {
    const std::int64_t assigned = kernels.shells(psi_.row(y), width_, row(y), shell(y, 0), groups_);
    if (y >= begin && y < end) area += assigned;
  }
  constexpr std::uint64_t kEven = 0x5555555555555555u;
  for (int i = 0; i < kShells; ++i)
    for (int subfield = 0; subfield < 4; ++subfield)
      for (std::int64_t y = first + ((first ^ (subfield >> 1)) & 1); y < last; y += 2)
        kernels.thin(row(y - 1), row(y), row(y + 1), shell(y, i), groups_, kEven << (subfield & 1));
  for (std::int64_t y = begin; y < end; ++y)
    for (std::int64_t g = 0; g < groups(width_); ++g) {
      std::uint16_t& still = still_.get()[y * groups_ + g];
      const auto now = static_cast<std::uint16_t>(row(y)[g] | seeded_.get()[y * groups_ + g]);
      if (now != still) psi_marks_.any.get()[y * words_ + g / 64] |= std::uint64_t{1} << (g % 64);
      still = now;
    }
  return area;
}

}  // namespace pyseg::turbopixels
