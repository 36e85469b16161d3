#include <cstring>

#include "deform_attention/heads.h"

namespace pyseg::deform_attention {

void forward(const Problem& problem, const Executor& executor, void* out) {
  const std::int64_t values = problem.batch * problem.queries * problem.heads * problem.channels;
  if (values == 0) return;
  if (problem.samples() == 0) {
    std::memset(out, 0, static_cast<std::size_t>(values * size_of(problem.value.type)));
    return;
  }
  const Heads heads(problem);
  static thread_local Scratch<std::byte> memory;
  const std::int64_t together = std::min<std::int64_t>(heads.count(), std::max(1, executor.threads()));
  std::byte* rows = heads.packed ? memory.take(together * heads.rows_bytes()) : nullptr;
  for (std::int64_t first = 0; first < heads.count(); first += together) {
    const std::int64_t last = std::min(heads.count(), first + together);
    heads.pack(first, last, executor, rows);
    heads.each(first, last, executor, [&](std::int64_t i, Runs runs) {
      Head head = heads.head(i, rows + (i - first) * heads.rows_bytes());
      head.out = static_cast<std::byte*>(out) + heads.element(i, problem.queries) * size_of(problem.value.type);
      kernels().forward(head, heads.wide, runs, scratch_of(head));
    });
  }
}

}  // namespace pyseg::deform_attention
