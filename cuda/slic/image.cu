// Images to words of three bytes. What bounds it: memory, 3 bytes in and 4 out a pixel, and 8 more where it is
// smoothed.
#include "lab/lab.cuh"
#include "slic/passes.cuh"

namespace pyseg::slic::cuda {
namespace {

using pyseg::cuda::item;
using pyseg::cuda::kThreads;

__device__ const lab::cuda::Linear kLinear = lab::cuda::linear_table();

__device__ const std::uint8_t* pixel_at(const std::uint8_t* image, const Strides& s, std::int64_t p, int width) {
  return image + blockIdx.y * s.image + p / width * s.y + p % width * s.x;
}

__global__ void load_lab(const std::uint8_t* image, Strides strides, int width, std::int32_t count,
                         std::uint32_t* pixels) {
  __shared__ std::uint16_t linear[256];
  for (int i = static_cast<int>(threadIdx.x); i < 256; i += kThreads) linear[i] = kLinear.value[i];
  __syncthreads();
  const std::int64_t p = item();
  if (p >= count) return;
  const std::uint8_t* in = pixel_at(image, strides, p, width);
  const auto light = [&](int c) { return static_cast<float>(linear[in[c * strides.channel]]); };
  pixels[std::int64_t{blockIdx.y} * count + p] = lab::cuda::packed(light(0), light(1), light(2));
}

// Values as they are: 0..255 weighs as L's 0..100. Channels that are not there are 0.
__global__ void load_values(const std::uint8_t* image, Strides strides, int channels, int width, std::int32_t count,
                            std::uint32_t* pixels) {
  const std::int64_t p = item();
  if (p >= count) return;
  const std::uint8_t* in = pixel_at(image, strides, p, width);
  std::uint32_t word = 0;
  for (int c = 0; c < channels; ++c) word |= (in[c * strides.channel] * 200u + 127u) / 255u << (8 * c);
  pixels[std::int64_t{blockIdx.y} * count + p] = word;
}

// (1 2 1) / 4 along x, then along y, each rounded up twice; pixels beyond the border repeat the last.
__global__ void smooth(const std::uint32_t* in, int height, int width, std::uint32_t* out) {
  const std::int64_t p = item(), first = std::int64_t{blockIdx.y} * height * width;
  if (p >= std::int64_t{height} * width) return;
  const int x = static_cast<int>(p % width), y = static_cast<int>(p / width);
  const auto blend = [](std::uint32_t a, std::uint32_t b, std::uint32_t c) { return __vavgu4(__vavgu4(a, c), b); };
  const auto row = [&](int at) {
    const std::uint32_t* line = in + first + std::int64_t{at} * width;
    return blend(line[max(x - 1, 0)], line[x], line[min(x + 1, width - 1)]);
  };
  out[first + p] = blend(row(max(y - 1, 0)), row(y), row(min(y + 1, height - 1)));
}

}  // namespace

cudaError_t load(const Plan& plan, const std::uint8_t* image, const Strides& strides, std::uint32_t* pixels,
                 std::uint32_t* spare, cudaStream_t stream) {
  std::uint32_t* to = plan.smooth ? spare : pixels;
  const std::int32_t count = plan.height() * plan.width();
  const dim3 grid = pyseg::cuda::blocks_for(count, plan.images());
  if (plan.to_lab) CUDA_LAUNCH(load_lab, grid, kThreads, 0, stream, image, strides, plan.width(), count, to);
  else
    CUDA_LAUNCH(load_values, grid, kThreads, 0, stream, image, strides, static_cast<int>(plan.shape.channels),
                plan.width(), count, to);
  PYSEG_CUDA_TRY(cudaGetLastError());
  if (!plan.smooth) return cudaSuccess;
  CUDA_LAUNCH(smooth, grid, kThreads, 0, stream, spare, plan.height(), plan.width(), pixels);
  return cudaGetLastError();
}

}  // namespace pyseg::slic::cuda
