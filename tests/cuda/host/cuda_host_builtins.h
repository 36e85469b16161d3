// What a kernel and its launcher find under CUDA's names, in terms of cuda_host.h.
#pragma once

#define CUDA_HOST_STR2(x) #x
#define CUDA_HOST_STR(x) CUDA_HOST_STR2(x)
#define CUDA_HOST_PLACE __FILE__ ":" CUDA_HOST_STR(__LINE__)
#define CUDA_LAUNCH(kernel, grid, block, shared, stream, ...) \
  ((void)(stream), cuda_host::run(grid, block, shared, [&] { kernel(__VA_ARGS__); }))
#define CUDA_DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(cuda_host::active->shared.data())

#define threadIdx (cuda_host::active->current->thread)
#define blockIdx (cuda_host::active->index)
#define blockDim (cuda_host::active->block)
#define gridDim (cuda_host::active->grid)
#define warpSize 32

#define __syncthreads() ((void)cuda_host::sync_count(false, CUDA_HOST_PLACE))
#define __syncthreads_count(p) cuda_host::sync_count(p, CUDA_HOST_PLACE)
#define __syncthreads_or(p) (cuda_host::sync_count(p, CUDA_HOST_PLACE) != 0)
#define __syncwarp(...) cuda_host::wait(cuda_host::Fiber::kWarpWait, cuda_host::full(__VA_ARGS__), CUDA_HOST_PLACE)
#define __ballot_sync(m, p) cuda_host::ballot(m, p, CUDA_HOST_PLACE)
#define __any_sync(m, p) (cuda_host::ballot(m, p, CUDA_HOST_PLACE) != 0)
#define __all_sync(m, p) (cuda_host::ballot(m, !(p), CUDA_HOST_PLACE) == 0)
#define __match_any_sync(m, v) cuda_host::match(m, v, CUDA_HOST_PLACE)
#define __reduce_add_sync(m, v) cuda_host::reduce(m, v, CUDA_HOST_PLACE, [](auto a, auto b) { return a + b; })
#define __reduce_min_sync(m, v) cuda_host::reduce(m, v, CUDA_HOST_PLACE, [](auto a, auto b) { return b < a ? b : a; })
#define __reduce_max_sync(m, v) cuda_host::reduce(m, v, CUDA_HOST_PLACE, [](auto a, auto b) { return a < b ? b : a; })
#define __shfl_sync(m, v, lane) cuda_host::exchange(m, v, (lane) & 31, CUDA_HOST_PLACE)
#define __shfl_xor_sync(m, v, bits) cuda_host::exchange(m, v, cuda_host::lane_id() ^ (bits), CUDA_HOST_PLACE)
#define __shfl_down_sync(m, v, by) cuda_host::exchange(m, v, cuda_host::lane_id() + (by), CUDA_HOST_PLACE)
#define __shfl_up_sync(m, v, by) cuda_host::exchange(m, v, cuda_host::lane_id() - (by), CUDA_HOST_PLACE)

namespace cuda_host {
// Only one thread runs at a time: a plain read-modify-write is atomic, and others may run before it.
template <typename T, typename Change>
T modify(T* at, Change change) {
  preempt();
  const T old = *at;
  *at = change(old);
  return old;
}
}  // namespace cuda_host

template <typename T>
T atomicAdd(T* at, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T old) { return static_cast<T>(old + v); });
}
template <typename T>
T atomicMin(T* at, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T old) { return std::min(old, v); });
}
template <typename T>
T atomicMax(T* at, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T old) { return std::max(old, v); });
}
template <typename T>
T atomicOr(T* at, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T old) { return old | v; });
}
template <typename T>
T atomicAnd(T* at, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T old) { return old & v; });
}
template <typename T>
T atomicExch(T* at, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T) { return v; });
}
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return cuda_host::modify(at, [&](T old) { return old == expected ? v : old; });
}
template <typename T>
T __ldg(const T* at) {
  return *at;
}
inline void __threadfence() { cuda_host::preempt(); }
inline void __threadfence_block() { cuda_host::preempt(); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x != 0 ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(std::uint64_t{a} * b >> 32); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __int_as_float(int x) {
  float y;
  std::memcpy(&y, &x, 4);
  return y;
}
inline int __float2int_rn(float x) { return static_cast<int>(std::lrint(x)); }
inline int __float_as_int(float x) {
  int y;
  std::memcpy(&y, &x, 4);
  return y;
}
inline unsigned __vabsdiffu4(unsigned a, unsigned b) {
  unsigned r = 0;
  for (int i = 0; i < 32; i += 8) {
    const int d = static_cast<int>(a >> i & 255) - static_cast<int>(b >> i & 255);
    r |= static_cast<unsigned>(d < 0 ? -d : d) << i;
  }
  return r;
}
inline unsigned __vavgu4(unsigned a, unsigned b) {
  unsigned r = 0;
  for (int i = 0; i < 32; i += 8) r |= ((a >> i & 255) + (b >> i & 255) + 1) >> 1 << i;
  return r;
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
  return c;
}
inline unsigned __vsadu4(unsigned a, unsigned b) { return __dp4a(__vabsdiffu4(a, b), 0x01010101u, 0); }
template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* at, int value, std::size_t bytes, cudaStream_t) {
  std::memset(at, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
