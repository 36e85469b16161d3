// SLIC on the device, step by step. See slic.cuh.
#include <algorithm>
#include <vector>

#include "core/launch.cuh"
#include "core/scan.cuh"
#include "slic/passes.cuh"

namespace pyseg::slic::cuda {
namespace {

using pyseg::cuda::Arena;
using pyseg::cuda::blocks_for;
using pyseg::cuda::kThreads;

constexpr std::int64_t kPassesUnasked = 64;

// As many segments as pixels: each is its own.
__global__ void number_pixels(std::int32_t pixels, std::int32_t start_label, std::int32_t* labels,
                              std::int64_t* count) {
  const std::int64_t p = pyseg::cuda::item();
  if (p >= pixels) return;
  labels[std::int64_t{blockIdx.y} * pixels + p] = start_label + static_cast<std::int32_t>(p);
  if (p == 0) count[blockIdx.y] = pixels;
}

cudaError_t all_at_rest(const Plan& plan, const Buffers& buffers, cudaStream_t stream, bool& all) {
  std::vector<std::int32_t> flags(static_cast<std::size_t>(plan.images()));
  PYSEG_CUDA_TRY(cudaMemcpyAsync(flags.data(), buffers.at_rest, flags.size() * sizeof(std::int32_t),
                                 cudaMemcpyDeviceToHost, stream));
  PYSEG_CUDA_TRY(cudaStreamSynchronize(stream));
  all = std::all_of(flags.begin(), flags.end(), [](std::int32_t flag) { return flag != 0; });
  return cudaSuccess;
}

// Once an image is at rest, its sums stay zero and its centres where they are.
cudaError_t run_passes(const Plan& plan, const Buffers& buffers, cudaStream_t stream) {
  PYSEG_CUDA_TRY(place(plan, buffers, stream));
  PYSEG_CUDA_TRY(sort(plan, buffers, stream));
  for (std::int64_t pass = 0; pass < plan.max_iter; ++pass) {
    PYSEG_CUDA_TRY(assign(plan, buffers, plan.sampled ? phase(pass) : -1, stream));
    PYSEG_CUDA_TRY(move(plan, buffers, stream));
    PYSEG_CUDA_TRY(sort(plan, buffers, stream));
    if (plan.rest < 0 || (pass + 1) % kPassesUnasked != 0) continue;
    bool all = false;
    PYSEG_CUDA_TRY(all_at_rest(plan, buffers, stream, all));
    if (all) break;
  }
  return cudaSuccess;
}

}  // namespace

Geometry::Geometry(const Plan& plan)
    : height(plan.height()),
      width(plan.width()),
      tiles_x((plan.width() + plan.tile - 1) / plan.tile),
      tiles_y((plan.height() + plan.tile - 1) / plan.tile),
      reach(plan.reach),
      weight(plan.weight),
      cell(plan.cell),
      cells_x((kSub * plan.width() + plan.cell - 1) / plan.cell),
      cells_y((kSub * plan.height() + plan.cell - 1) / plan.cell),
      clusters(plan.clusters) {}

connectivity::cuda::Batch batch_of(const Plan& plan) {
  return {plan.images(), plan.height(), plan.width(), plan.clusters, plan.tile};
}

Buffers Buffers::take(Arena& arena, const Plan& plan) {
  const Geometry g(plan);
  const std::int64_t images = plan.images(), clusters = images * g.clusters;
  Buffers b{};
  b.sums = arena.take<std::uint64_t>(clusters * kFields);
  b.cell_counts = arena.take<std::int32_t>(images * g.cells());
  b.moved = arena.take<std::uint64_t>(images);
  b.at_rest = arena.take<std::int32_t>(images);
  b.zeroed = arena.used();
  b.cell_starts = arena.take<std::int32_t>(images * (g.cells() + 1));
  b.centers = arena.take<Center>(clusters);
  b.bins = arena.take<Center>(clusters);
  b.scratch = arena.take<std::int32_t>(pyseg::cuda::scan_scratch(g.cells(), images));
  b.pixels = arena.take<std::uint32_t>(images * g.pixels());
  b.components = connectivity::cuda::Workspace::take(arena, batch_of(plan), plan.connect);
  return b;
}

std::int64_t workspace_bytes(const Plan& plan) {
  if (plan.one_each || plan.images() == 0) return 0;
  Arena arena;
  Buffers::take(arena, plan);
  return arena.used();
}

cudaError_t slic(const Plan& plan, const std::uint8_t* image, const Strides& strides, std::int32_t* labels,
                 std::int64_t* count, void* workspace, cudaStream_t stream) {
  if (plan.images() == 0) return cudaSuccess;
  if (plan.one_each) {
    const std::int32_t pixels = plan.height() * plan.width();
    CUDA_LAUNCH(number_pixels, blocks_for(pixels, plan.images()), kThreads, 0, stream, pixels, plan.start_label, labels,
                count);
    return cudaGetLastError();
  }
  if (workspace == nullptr || (plan.center_width > 0 && plan.centers == nullptr)) return cudaErrorInvalidValue;
  Arena arena(workspace);
  const Buffers buffers = Buffers::take(arena, plan);
  PYSEG_CUDA_TRY(cudaMemsetAsync(buffers.sums, 0, static_cast<std::size_t>(buffers.zeroed), stream));
  PYSEG_CUDA_TRY(connectivity::cuda::begin(buffers.components, stream));
  arena.guard();
  PYSEG_CUDA_TRY(load(plan, image, strides, buffers.pixels, reinterpret_cast<std::uint32_t*>(labels), stream));
  PYSEG_CUDA_TRY(run_passes(plan, buffers, stream));
  PYSEG_CUDA_TRY(label(plan, buffers, labels, stream));
  if (!plan.connect)
    return connectivity::cuda::finish_clusters(batch_of(plan), buffers.components, plan.start_label, labels, count,
                                               stream);
  const connectivity::cuda::Colors colors{&buffers.centers->color, sizeof(Center) / sizeof(std::uint32_t)};
  return connectivity::cuda::finish(batch_of(plan), buffers.components, colors, plan.min_size, plan.start_label, labels,
                                    count, stream);
}

}  // namespace pyseg::slic::cuda
