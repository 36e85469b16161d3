// The iterations of the mean field; see dense_crf.h.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include "core/check.h"
#include "dense_crf/kernels.h"
#include "permutohedral/rows.h"
#include "permutohedral/steps.h"

namespace pyseg::dense_crf {
namespace {

constexpr std::int64_t kKeptBytes = std::int64_t{256} << 20;  // scratch that outlives a call

// Rows of one kernel: a pass reads `in`, or `half`, and adds to `out`, which the next blur makes the next `in`.
struct Rows {
  Scratch<float> in, out;
  Scratch<std::uint16_t> half;

  std::int64_t bytes() const { return in.bytes() + out.bytes() + half.bytes(); }
};

struct Workspace {
  Scratch<float> unary, last;
  std::vector<std::unique_ptr<Rows>> rows;

  Rows& of(std::size_t kernel) {
    while (rows.size() <= kernel) rows.push_back(std::make_unique<Rows>());
    return *rows[kernel];
  }
  void shrink() {
    std::int64_t bytes = unary.bytes() + last.bytes();
    for (const auto& r : rows) bytes += r->bytes();
    if (bytes <= kKeptBytes) return;
    rows.clear();
    unary.release();
    last.release();
  }
};

Workspace& workspace() {
  thread_local Workspace w;
  return w;
}

void check_unary(bool fine, UnaryKind kind) {
  check(fine, kind == UnaryKind::probabilities ? "dense_crf: probabilities must be within 0 .. 1"
                                               : "dense_crf: the unary term must be finite, got NaN or infinity");
}

class MeanField {
 public:
  MeanField(const Problem& problem, const Executor& executor, Workspace& w)
      : p_(problem), executor_(executor), w_(w), points_(p_.plan->points), blocks_((points_ + kLanes - 1) / kLanes) {
    std::int64_t taps = 0;
    bool potts = true;
    for (std::size_t k = 0; k < p_.compat.size(); ++k) {
      taps += lattice(k).classes();
      potts = potts && p_.compat[k].kind == Compatibility::potts;
    }
    fused_ = p_.classes > 1 && potts && taps <= kMostTaps && p_.classes - 1 <= permutohedral::kPanel;
    const std::int64_t channels = fused_ ? p_.classes - 1 : p_.classes;
    stride_ = fused_ && channels == 1 ? 1 : row_size(channels);
    half_ = p_.half && stride_ > 1 && fused_;
  }

  void run(ClassView<float> out) {
    read_unary();
    for (std::int64_t it = 0; it <= p_.n_iter; ++it) {
      const bool last = it == p_.n_iter;
      for (std::size_t k = 0; k < p_.compat.size(); ++k) prepare(k, it > 0, !last);
      if (fused_) fused_pass(it > 0, !last, out);
      else plain_pass(it > 0, !last, out);
    }
  }

 private:
  const Lattice<float>& lattice(std::size_t k) const { return p_.plan->kernels[k]->lattice; }

  const std::uint32_t* order() const { return p_.plan->order.empty() ? nullptr : p_.plan->order.data(); }

  template <typename F>
  void each_band(F f) {
    // All lattices of as many points have the same bands; without any, blocks in pieces.
    const bool any = !p_.compat.empty();
    const std::int64_t step = any ? lattice(0).band_blocks : 512;
    executor_.each((blocks_ + step - 1) / step,
                   [&](std::int64_t band) { f(band, band * step, std::min(blocks_, (band + 1) * step)); });
  }

  void read_unary() {
    float* rows = w_.unary.take(blocks_ * kLanes * stride_);
    float* of_last = fused_ && stride_ > 1 ? w_.last.take(blocks_ * kLanes) : nullptr;
    std::atomic<bool> fine{true};
    each_band([&](std::int64_t, std::int64_t first, std::int64_t last) {
      for (std::int64_t b = first; b < last; ++b) {
        std::uint32_t at[kLanes];
        points_of(order(), points_, b, at);
        if (!unary_kernels().logits(p_.unary, at, p_.unary_kind, p_.classes, stride_, rows + b * kLanes * stride_,
                                    of_last == nullptr ? nullptr : of_last + b * kLanes))
          fine = false;
      }
    });
    check_unary(fine, p_.unary_kind);
  }

  // Blurs what the pass before has left, and makes room for what the next one leaves.
  void prepare(std::size_t k, bool blur, bool more) {
    Rows& rows = w_.of(k);
    const std::int64_t count = lattice(k).rows * stride_;
    if (blur) permutohedral::blur_rows(lattice(k), stride_, false, executor_, rows.out.get());
    if (blur && half_) {
      std::uint16_t* half = rows.half.take(count);
      executor_.run(count / 4, 4096, [&](std::int64_t begin, std::int64_t end) {
        unary_kernels().narrow(rows.out.get() + 4 * begin, 4 * (end - begin), half + 4 * begin);
      });
    } else if (blur) {
      swap(rows.in, rows.out);
    }
    if (more) rows.out.take(count);
  }

  Side side(std::size_t k, std::int64_t band) {
    const Compat& compat = p_.compat[k];
    const Plan::Kernel& kernel = *p_.plan->kernels[k];
    const Lattice<float>& l = kernel.lattice;
    const Rows& rows = w_.of(k);
    const float weight = compat.kind == Compatibility::potts ? *compat.values : 1.0f;
    return {l.offset.get(),
            l.weight.get(),
            l.base.data() + band * l.classes(),
            l.classes(),
            kernel.before,
            kernel.after,
            weight * l.alpha(),
            half_ ? static_cast<const void*>(rows.half.get()) : static_cast<const void*>(rows.in.get()),
            rows.out.get()};
  }

  void fused_pass(bool slice, bool splat, ClassView<float> out) {
    each_band([&](std::int64_t band, std::int64_t first, std::int64_t last) {
      std::vector<Side> sides(p_.compat.size());
      for (std::size_t k = 0; k < sides.size(); ++k) {
        sides[k] = side(k, band);
        if (splat) clear(k, band, sides[k]);
      }
      const Pass pass{first,         last,         points_,
                      p_.classes,    stride_,      w_.unary.get(),
                      w_.last.get(), sides.data(), static_cast<int>(sides.size()),
                      slice,         splat,        out,
                      order()};
      if (stride_ == 1) kernels().two_classes(pass);
      else if (half_) kernels().potts_half(pass);
      else kernels().potts(pass);
    });
  }

  void clear(std::size_t k, std::int64_t band, const Side& side) {
    const auto& segment = lattice(k).segment;
    const auto b = static_cast<std::size_t>(band);
    std::fill(side.out + segment[b] * stride_, side.out + segment[b + 1] * stride_, 0.0f);
  }

  // Any compatibility and any number of classes: the same steps, apart.
  void plain_pass(bool slice, bool splat, ClassView<float> out) {
    each_band([&](std::int64_t band, std::int64_t first, std::int64_t last) {
      std::vector<Side> sides(p_.compat.size());
      for (std::size_t k = 0; k < sides.size(); ++k) {
        sides[k] = side(k, band);
        if (splat) clear(k, band, sides[k]);
      }
      std::vector<float> rows(static_cast<std::size_t>(kLanes * stride_)), message(rows.size());
      for (std::int64_t b = first; b < last; ++b) {
        const auto count = static_cast<int>(std::min<std::int64_t>(kLanes, points_ - b * kLanes));
        std::copy_n(w_.unary.get() + b * kLanes * stride_, kLanes * stride_, rows.data());
        for (std::size_t k = 0; slice && k < sides.size(); ++k) {
          const Side& s = sides[k];
          const std::int64_t at = b * s.classes * kLanes;
          permutohedral::kernels().slice(s.offset + at, s.weight + at, s.base, s.classes,
                                         s.after == nullptr ? nullptr : s.after + b * kLanes, s.scale,
                                         static_cast<const float*>(s.in), stride_, stride_, count, message.data());
          add_message(p_.compat[k], message.data(), count, rows.data());
        }
        unary_kernels().softmax(rows.data(), kLanes, stride_);
        if (!splat) {
          write(b, count, rows.data(), out);
          continue;
        }
        for (const Side& s : sides) {
          const std::int64_t at = b * s.classes * kLanes;
          permutohedral::kernels().splat(s.offset + at, s.weight + at, s.base, s.classes,
                                         s.before == nullptr ? nullptr : s.before + b * kLanes, rows.data(), stride_,
                                         count, stride_, s.out);
        }
      }
    });
  }

  // logits -= C message.
  void add_message(const Compat& compat, const float* message, int count, float* logits) const {
    for (int i = 0; i < count; ++i, message += stride_, logits += stride_) {
      if (compat.kind == Compatibility::potts) {
        for (std::int64_t c = 0; c < p_.classes; ++c) logits[c] += message[c];  // its weight is in the slice
      } else if (compat.kind == Compatibility::diagonal) {
        for (std::int64_t c = 0; c < p_.classes; ++c) logits[c] -= compat.values[c] * message[c];
      } else {
        for (std::int64_t j = 0; j < p_.classes; ++j)
          for (std::int64_t c = 0; c < p_.classes; ++c) logits[c] -= compat.values[j * p_.classes + c] * message[j];
      }
    }
  }

  void write(std::int64_t block, int count, const float* rows, ClassView<float> out) const {
    std::uint32_t at[kLanes];
    points_of(order(), points_, block, at);
    for (int i = 0; i < count; ++i) {
      float* q = out.data + at[i] * out.point_stride;
      for (std::int64_t c = 0; c < p_.classes; ++c) q[c * out.class_stride] = rows[i * stride_ + c];
    }
  }

  const Problem& p_;
  const Executor& executor_;
  Workspace& w_;
  const std::int64_t points_, blocks_;
  bool fused_ = false, half_ = false;
  std::int64_t stride_ = 0;
};

}  // namespace

std::vector<float> class_ratios(ClassView<const float> unary, UnaryKind kind, std::int64_t points, std::int64_t classes,
                                const Executor& executor) {
  const std::int64_t stride = row_size(classes);
  std::vector<float> gap(static_cast<std::size_t>(stride), -std::numeric_limits<float>::infinity());
  std::mutex mutex;
  bool fine = true;
  executor.run((points + kLanes - 1) / kLanes, 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> rows(static_cast<std::size_t>(kLanes * stride)),
        most(gap.size(), -std::numeric_limits<float>::infinity());
    std::uint32_t at[kLanes];
    bool ours = true;
    for (std::int64_t b = begin; b < end; ++b) {
      points_of(nullptr, points, b, at);
      ours &= unary_kernels().logits(unary, at, kind, classes, stride, rows.data(), nullptr);
      for (int i = 0; i < kLanes; ++i) {
        const float* row = rows.data() + i * stride;
        for (std::int64_t c = 0; c < stride; ++c)
          most[static_cast<std::size_t>(c)] = std::max(most[static_cast<std::size_t>(c)], row[c]);
      }
    }
    const std::lock_guard lock(mutex);
    fine = fine && ours;
    for (std::size_t c = 0; c < gap.size(); ++c) gap[c] = std::max(gap[c], most[c]);
  });
  check_unary(fine, kind);
  gap.resize(static_cast<std::size_t>(classes));
  for (float& g : gap) g = std::exp(g);
  return gap;
}

void mean_field(const Problem& problem, const Executor& executor, ClassView<float> out) {
  check(problem.classes >= 1, "dense_crf: there must be at least one class");
  check(problem.n_iter >= 0, "dense_crf: n_iter must be >= 0, got ", problem.n_iter);
  check(problem.compat.size() == problem.plan->kernels.size(), "dense_crf: there must be one compat a kernel");
  for (const Compat& c : problem.compat) {
    const std::int64_t n = c.kind == Compatibility::potts      ? 1
                           : c.kind == Compatibility::diagonal ? problem.classes
                                                               : problem.classes * problem.classes;
    for (std::int64_t i = 0; i < n; ++i)
      check(std::isfinite(c.values[i]), "dense_crf: compat and weights must be finite, got ", c.values[i]);
  }
  struct Shrink {  // after an error too
    Workspace& w = workspace();
    ~Shrink() { w.shrink(); }
  } kept;
  MeanField(problem, executor, kept.w).run(out);
}

}  // namespace pyseg::dense_crf
