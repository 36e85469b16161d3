// Connected components of cluster maps, and the absorption of small ones, on the device: cpp/connectivity's definition,
// pixel for pixel, for a batch of 2-D images without mask.
//
// A component is known by its first pixel in raster order: union-find links the larger root to the smaller, so that a
// root *is* that pixel, however the threads were scheduled. Tiles are joined in shared memory by the kernel that finds
// the clusters (tile.cuh); only the pixels at tiles' borders enter the global union-find.
//
// Kept components are numbered first, by cluster, then by first pixel. So a choice "nearest in colour, ties by cluster,
// then by first pixel" is the least of (round, distance, number), which fits 64 bits: one atomicMin an offer, and the
// state of a component is that one word:
//     round << 41 | distance << 31 | number        round 0: kept; ~0: small and not yet absorbed
// A round offers only what earlier rounds settled, which it tells by their rounds.
//
// The first rounds look at all pixels of the image; what they leave (few components, deep inside small ones) one block
// an image finishes, breadth first. Nothing is asked of the host.
#pragma once

#include <cstdint>

#include "core/arena.cuh"
#include "core/launch.cuh"

namespace pyseg::connectivity::cuda {

struct Batch {
  std::int32_t images, height, width;
  std::int32_t clusters;  // an image
  int tile;               // 16 or 8

  __host__ __device__ std::int32_t pixels() const { return height * width; }
  std::int64_t all_pixels() const { return std::int64_t{images} * pixels(); }
};

// The clusters' colours: three bytes in a word, the first word of every `stride` words; [images, clusters].
struct Colors {
  const std::uint32_t* words;
  int stride;
};

// Pixels are counted within their image, [images, pixels] throughout. What is said of a component stands at its root.
struct Workspace {
  std::int32_t* counts;  // [images, clusters] zero before the first kernel: kept components, or any pixel, of a cluster
  std::int32_t* starts;  // [images, clusters + 1] their prefix sums
  std::uint64_t* largest;  // [images] zero before: size << 32 | ~first of the largest component
  std::int32_t* open;      // [images] zero before: pixels of components not yet absorbed
  std::int32_t* parent;    // of each pixel; its root, once measured
  std::int32_t* size;      // zero but at the roots of tiles' components
  std::uint64_t* state;    // of a component, as above
  std::int32_t* order;     // pixel of each number: the root that has it
  std::int32_t* members;   // kept roots by cluster, unordered; later pixels of unabsorbed components, by component
  std::int32_t* ends;      // of a component's pixels in `members`
  std::int32_t* queue;     // components in the order of their absorption
  std::int32_t* scratch;   // of the scan
  std::int64_t zeroed;     // bytes from `counts` on that must be zero

  static Workspace take(pyseg::cuda::Arena& arena, const Batch& batch, bool connect);
};

// Clears what must be zero.
cudaError_t begin(const Workspace& work, cudaStream_t stream);

// From clusters (in `labels`) with their tiles cut to labels. Components of fewer than min_size pixels are small. count
// [images]: labels of an image.
cudaError_t finish(const Batch& batch, const Workspace& work, const Colors& colors, std::int64_t min_size,
                   std::int32_t start_label, std::int32_t* labels, std::int64_t* count, cudaStream_t stream);

// Without connectivity: clusters that have a pixel (counts is not zero) are numbered in order.
cudaError_t finish_clusters(const Batch& batch, const Workspace& work, std::int32_t start_label, std::int32_t* labels,
                            std::int64_t* count, cudaStream_t stream);

// The steps of finish(): roots and sizes; kept components and their numbers; small components' targets and the labels.
cudaError_t join(const Batch& batch, const Workspace& work, const std::int32_t* clusters, cudaStream_t stream);
cudaError_t number(const Batch& batch, const Workspace& work, const std::int32_t* clusters, std::int64_t min_size,
                   cudaStream_t stream);
cudaError_t absorb(const Batch& batch, const Workspace& work, const Colors& colors, const std::int32_t* clusters,
                   cudaStream_t stream);

}  // namespace pyseg::connectivity::cuda
