// What forward and backward share: heads in turn, as many at once as there are threads.
#pragma once

#include <algorithm>
#include <vector>

#include "core/workspace.h"
#include "deform_attention/kernels.h"

namespace pyseg::deform_attention {

class Heads {
 public:
  explicit Heads(const Problem& problem);

  const Problem& problem;
  const bool wide;
  const std::int64_t size;    // of a value in the computation, bytes
  const std::int64_t blocks;  // of a row
  const bool packed;

  std::int64_t count() const { return problem.batch * problem.heads; }
  std::int64_t row_bytes() const { return blocks * kRowBytes; }
  // The rows of one head, the last of zeros included.
  std::int64_t rows_bytes() const { return (problem.pixels + 1) * row_bytes(); }

  // Head i of all images; its rows, where packed, at `rows`.
  Head head(std::int64_t i, const std::byte* rows) const;
  // How far apart rows are, in 64 bytes.
  void set_units(Head& head, std::int64_t units) const;
  // Element of [B, n, M, D] where head i begins.
  std::int64_t element(std::int64_t i, std::int64_t n) const {
    return ((i / problem.heads * n) * problem.heads + i % problem.heads) * problem.channels;
  }
  // Packs heads first .. last - 1.
  void pack(std::int64_t first, std::int64_t last, const Executor& executor, std::byte* rows) const;
  // All queries, in an order in which neighbours have neighbours' samples.
  Runs runs() const { return {runs_.data(), runs_.data() + runs_.size()}; }
  // task(i, some of the queries) for heads first .. last - 1, on all threads.
  void each(std::int64_t first, std::int64_t last, const Executor& executor,
            FunctionRef<void(std::int64_t, Runs)> task) const;

 private:
  std::vector<Map> maps_;
  std::vector<Run> runs_;
};

// Of this thread, for the vector code.
std::byte* scratch_of(const Head& head);

}  // namespace pyseg::deform_attention
