// The one header through which a .cu reaches CUDA: nvcc's runtime, or with -DCUDA_HOST the execution of SIMT kernels on
// the CPU by which tests check them where there is no GPU (tests/cuda/host/cuda_host.h).
//
// Kernels are launched with CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, args...); dynamic shared memory is
// named with CUDA_DYNAMIC_SHARED(type, name). A kernel template's name with a comma goes in parentheses.
#pragma once

#include <cstdint>

#if defined(CUDA_HOST)
#include "cuda_host.h"
#else
#include <cuda_runtime.h>
#define CUDA_LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
#define CUDA_DYNAMIC_SHARED(type, name)                       \
  extern __shared__ __align__(16) unsigned char name##_raw[]; \
  type* const name = reinterpret_cast<type*>(name##_raw)
#endif

// In a launcher: hands an error to the caller.
#define PYSEG_CUDA_TRY(call)                                        \
  do {                                                              \
    if (const cudaError_t error_ = (call); error_ != cudaSuccess) { \
      return error_;                                                \
    }                                                               \
  } while (false)

namespace pyseg::cuda {

constexpr int kThreads = 256;  // of a block whose threads take one item each
constexpr unsigned kFullWarp = 0xffffffffu;

// Items along x, images along y.
inline dim3 blocks_for(std::int64_t items, std::int64_t images, int threads = kThreads) {
  return dim3(static_cast<unsigned>((items + threads - 1) / threads), static_cast<unsigned>(images));
}

// The thread's item, in 64 bits: the last block may reach beyond 2^31.
__device__ inline std::int64_t item() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }

// A read that sees what other blocks wrote, within the kernel.
template <typename T>
__device__ inline T fresh(const T* at) {
  return *static_cast<const volatile T*>(at);
}

}  // namespace pyseg::cuda
