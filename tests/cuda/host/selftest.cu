// Checks the host execution itself: its barriers, shuffles and atomics, and that it sees what is wrong (overrun, racy,
// divergent, interleaved). Compiles with nvcc too.
#include "core/launch.cuh"

#include <cstdio>
#include <string>
#include <vector>

__global__ void block_sum(const float* in, float* out, int n) {
  __shared__ float part[32];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = i < n ? in[i] : 0.0f;
  for (int by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x < 32) {
    v = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0.0f;
    for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
    if (threadIdx.x == 0) out[blockIdx.x] = v;
  }
}

__global__ void histogram(const unsigned char* in, int* out, int n) {
  CUDA_DYNAMIC_SHARED(int, bins);
  for (int b = threadIdx.x; b < 256; b += blockDim.x) bins[b] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&bins[in[i]], 1);
  __syncthreads();
  for (int b = threadIdx.x; b < 256; b += blockDim.x) atomicAdd(&out[b], bins[b]);
}

__global__ void compact(const int* in, int* out, int* count, int n) {  // one warp; keeps the order
  for (int base = 0; base < n; base += 32) {
    const int i = base + threadIdx.x;
    const bool keep = i < n && in[i] % 3 == 0;
    const unsigned bits = __ballot_sync(0xffffffffu, keep);
    const int start = *count;
    __syncwarp();
    if (keep) out[start + __popc(bits & ((1u << threadIdx.x) - 1))] = in[i];
    if (threadIdx.x == 0) *count = start + __popc(bits);
    __syncwarp();
  }
}

// The lanes of each remainder: how many, and the sum of their indices.
__global__ void groups(int* counts, int* sums) {
  const unsigned i = threadIdx.x, peers = __match_any_sync(0xffffffffu, i % 5);
  const unsigned sum = __reduce_add_sync(peers, i);
  counts[i] = __popc(peers);
  sums[i] = static_cast<int>(sum);
}

__global__ void racy(int* out) {  // no barrier between the write and the read of a neighbour
  __shared__ int box[64];
  box[threadIdx.x] = -1;
  __syncthreads();
  box[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = box[(threadIdx.x + 1) % 64];
}

__global__ void divergent() {
  if (threadIdx.x < 16) __syncthreads();
  else __syncwarp();
}

__global__ void overrun(int* out) { out[threadIdx.x + 1] = 1; }

// Between the read and the write of a thread, others come.
__global__ void interleaved(int* out) {
  const int seen = out[0];
  atomicAdd(&out[1], 1);
  out[0] = seen + 1;
}

#ifdef CUDA_HOST
int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "ok";
  if (what == "divergent") CUDA_LAUNCH(divergent, 1, 64, 0, nullptr);
  if (what == "overrun") {
    std::vector<int> out(32);
    CUDA_LAUNCH(overrun, 1, 32, 0, nullptr, out.data());
  }
  if (what == "racy") {
    std::vector<int> out(64);
    CUDA_LAUNCH(racy, 1, 64, 0, nullptr, out.data());
    for (int v : out) std::printf("%d ", v);
    std::printf("\n");
    return 0;
  }
  if (what == "interleaved") {
    std::vector<int> out(2);
    CUDA_LAUNCH(interleaved, 1, 64, 0, nullptr, out.data());
    std::printf("%d of %d\n", out[0], out[1]);
    return 0;
  }
  const int n = 10000;
  std::vector<float> x(n);
  std::vector<unsigned char> bytes(n);
  std::vector<int> ints(n);
  for (int i = 0; i < n; ++i) x[i] = i % 7, bytes[i] = static_cast<unsigned char>(i * 31), ints[i] = i;
  std::vector<float> sums((n + 255) / 256);
  CUDA_LAUNCH(block_sum, dim3(sums.size()), 256, 0, nullptr, x.data(), sums.data(), n);
  float total = 0, want = 0;
  for (float s : sums) total += s;
  for (float v : x) want += v;
  std::vector<int> bins(256), expected(256);
  CUDA_LAUNCH(histogram, 7, 96, 256 * sizeof(int), nullptr, bytes.data(), bins.data(), n);
  for (unsigned char b : bytes) ++expected[b];
  std::vector<int> kept(n);
  int count = 0;
  CUDA_LAUNCH(compact, 1, 32, 0, nullptr, ints.data(), kept.data(), &count, n);
  bool ordered = count == (n + 2) / 3;
  for (int i = 0; i < count; ++i) ordered &= kept[i] == 3 * i;
  std::vector<int> peers(64), totals(64);
  CUDA_LAUNCH(groups, 1, 64, 0, nullptr, peers.data(), totals.data());
  bool grouped = true;
  for (int i = 0; i < 64; ++i) {
    int count_of = 0, sum_of = 0;
    for (int j = i / 32 * 32; j < i / 32 * 32 + 32; ++j)
      if (j % 5 == i % 5) ++count_of, sum_of += j;
    grouped &= peers[i] == count_of && totals[i] == sum_of;
  }
  std::printf("sum %s, histogram %s, compact %s, groups %s\n", total == want ? "ok" : "WRONG",
              bins == expected ? "ok" : "WRONG", ordered ? "ok" : "WRONG", grouped ? "ok" : "WRONG");
  return total == want && bins == expected && ordered && grouped ? 0 : 1;
}
#endif
