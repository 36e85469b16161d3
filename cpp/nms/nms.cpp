// The order of the boxes, blocks of candidates, and classes; see nms.h.
#include "nms/nms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/workspace.h"
#include "nms/order.h"

namespace pyseg::nms {

namespace {

constexpr std::int64_t kBlock = 256;             // candidates
constexpr std::int64_t kTogether = 1000;         // boxes whose classes are moved apart
constexpr std::int64_t kLarge = 4096;            // boxes of a class that all threads work on
constexpr std::int64_t kWorthThreads = 1 << 16;  // pairs
constexpr std::int64_t kRoom = 16;

bool suppressed(const Kernels& k, const Kept<float>& kept, std::int64_t begin, std::int64_t end, const float* box,
                float area, float threshold) {
  return k.suppressed32(kept, begin, end, box, area, threshold);
}
bool suppressed(const Kernels& k, const Kept<double>& kept, std::int64_t begin, std::int64_t end, const double* box,
                double area, double threshold) {
  return k.suppressed64(kept, begin, end, box, area, threshold);
}

// The largest number that is not above `threshold`: what exceeds the one exceeds the other.
template <typename T>
T rounded_down(double threshold) {
  const auto near = static_cast<T>(threshold);
  return static_cast<double>(near) > threshold ? std::nextafter(near, -std::numeric_limits<T>::infinity()) : near;
}

// Goes through boxes [count][4], which are in order; flags[i] = kept.
template <typename T>
void sweep(const T* boxes, std::int64_t count, T threshold, std::uint8_t* flags, const Executor& exec) {
  static thread_local Scratch<T> planes;
  const std::int64_t stride = (count + kRoom + 15) / 16 * 16;
  T* p = planes.take(5 * stride);
  const Kept<T> kept{p, p + stride, p + 2 * stride, p + 3 * stride, p + 4 * stride};
  std::fill_n(p, 4 * stride, T(0));
  std::fill_n(kept.area, stride, std::numeric_limits<T>::quiet_NaN());
  const Kernels& k = kernels();
  std::int64_t n = 0;
  const auto area = [](const T* box) { return (box[2] - box[0]) * (box[3] - box[1]); };
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, count), before = n;
    const auto look = [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        const T* box = boxes + i * 4;
        flags[i] = !suppressed(k, kept, 0, before, box, area(box), threshold);
      }
    };
    if (before * (end - begin) < kWorthThreads) look(begin, end);
    else exec.run(end - begin, 16, [&](std::int64_t from, std::int64_t to) { look(begin + from, begin + to); });
    for (std::int64_t i = begin; i < end; ++i) {
      const T* box = boxes + i * 4;
      if (flags[i] == 0) continue;
      flags[i] = !suppressed(k, kept, before, n, box, area(box), threshold);
      if (flags[i] == 0) continue;
      kept.x1[n] = box[0];
      kept.y1[n] = box[1];
      kept.x2[n] = box[2];
      kept.y2[n] = box[3];
      kept.area[n] = area(box);
      ++n;
    }
  }
}

// boxes[order[i]], moved by their classes' offsets where there are such.
template <typename T>
std::vector<T> in_order(const Problem& p, const std::vector<std::int64_t>& order, bool apart) {
  const auto* boxes = static_cast<const T*>(p.boxes);
  T most = -std::numeric_limits<T>::infinity();
  for (std::int64_t i = 0; apart && i < 4 * p.count; ++i)
    if (boxes[i] > most || boxes[i] != boxes[i]) most = boxes[i];  // a NaN stays
  std::vector<T> sorted(order.size() * 4);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const T shift = apart ? static_cast<T>(p.classes[order[i]]) * (most + T(1)) : T(0);
    const T* box = boxes + order[i] * 4;
    for (std::size_t c = 0; c < 4; ++c) sorted[i * 4 + c] = apart ? box[c] + shift : box[c];
  }
  return sorted;
}

// 0 .. count - 1 by their classes, else as they are: counted where classes are few, as they mostly are.
template <typename ClassOf>
std::vector<std::int64_t> in_classes(std::int64_t count, ClassOf class_of) {
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(count));
  std::int64_t low = class_of(0), high = low;
  for (std::int64_t i = 0; i < count; ++i) {
    low = std::min(low, class_of(i));
    high = std::max(high, class_of(i));
    ranks[static_cast<std::size_t>(i)] = i;
  }
  if (static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) >= static_cast<std::uint64_t>(count)) {
    std::stable_sort(ranks.begin(), ranks.end(),
                     [&](std::int64_t a, std::int64_t b) { return class_of(a) < class_of(b); });
    return ranks;
  }
  std::vector<std::int64_t> next(static_cast<std::size_t>(high - low) + 2);
  for (std::int64_t i = 0; i < count; ++i) ++next[static_cast<std::size_t>(class_of(i) - low) + 1];
  for (std::size_t c = 1; c < next.size(); ++c) next[c] += next[c - 1];
  for (std::int64_t i = 0; i < count; ++i)
    ranks[static_cast<std::size_t>(next[static_cast<std::size_t>(class_of(i) - low)]++)] = i;
  return ranks;
}

// Each class for itself; ranks are places in the order of scores.
template <typename T>
void by_class(const Problem& p, const std::vector<std::int64_t>& order, const std::vector<T>& boxes, T threshold,
              std::uint8_t* flags, const Executor& exec) {
  const std::size_t count = order.size();
  const auto class_of = [&](std::int64_t rank) { return p.classes[order[static_cast<std::size_t>(rank)]]; };
  const std::vector<std::int64_t> ranks = in_classes(static_cast<std::int64_t>(count), class_of);
  std::vector<std::int64_t> starts;
  std::vector<T> grouped(boxes.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i == 0 || class_of(ranks[i]) != class_of(ranks[i - 1])) starts.push_back(static_cast<std::int64_t>(i));
    std::copy_n(boxes.data() + ranks[i] * 4, 4, grouped.data() + i * 4);
  }
  starts.push_back(static_cast<std::int64_t>(count));
  std::vector<std::uint8_t> kept(count);
  const auto one = [&](std::int64_t c, bool large, const Executor& how) {
    const std::int64_t begin = starts[static_cast<std::size_t>(c)], n = starts[static_cast<std::size_t>(c) + 1] - begin;
    if ((n >= kLarge) == large) sweep(grouped.data() + begin * 4, n, threshold, kept.data() + begin, how);
  };
  const auto classes = static_cast<std::int64_t>(starts.size()) - 1;
  exec.each(classes, [&](std::int64_t c) { one(c, false, serial()); });
  for (std::int64_t c = 0; c < classes; ++c) one(c, true, exec);
  for (std::size_t i = 0; i < count; ++i) flags[ranks[i]] = kept[i];
}

template <typename T>
std::int64_t run(const Problem& p, std::int64_t* keep, const Executor& exec) {
  const std::vector<std::int64_t> order = descending(static_cast<const T*>(p.scores), p.count);
  const bool apart = p.classes != nullptr && p.count <= kTogether;
  const std::vector<T> boxes = in_order<T>(p, order, apart);
  const T threshold = rounded_down<T>(p.threshold);
  std::vector<std::uint8_t> flags(order.size());
  if (p.classes != nullptr && !apart) by_class(p, order, boxes, threshold, flags.data(), exec);
  else sweep(boxes.data(), p.count, threshold, flags.data(), exec);
  std::int64_t n = 0;
  for (std::size_t i = 0; i < order.size(); ++i)
    if (flags[i] != 0) keep[n++] = order[i];
  return n;
}

}  // namespace

std::int64_t nms(const Problem& problem, std::int64_t* keep, const Executor& exec) {
  check(!std::isnan(problem.threshold), "nms: iou_threshold must be a number, got nan");
  check(problem.count < std::int64_t{1} << 31, "nms: there must be less than 2^31 boxes, got ", problem.count);
  if (problem.count == 0) return 0;
  return problem.wide ? run<double>(problem, keep, exec) : run<float>(problem, keep, exec);
}

}  // namespace pyseg::nms
