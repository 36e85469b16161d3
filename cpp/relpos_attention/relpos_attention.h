// Attention over the pixels of a map with decomposed relative positions (Li et al., "MViTv2", CVPR 2022, section 4.1;
// Kirillov et al., "Segment Anything", ICCV 2023, whose image encoder it is).
//
//   out_i = sum_j softmax_j(scale q_i k_j + q_i rel_h[y_i - y_j + H - 1] + q_i rel_w[x_i - x_j + W - 1]) v_j
//
// for pixels i = y W + x of an H x W map. The bias is that of the unscaled q, and is added inside tiles of scores, so
// that nothing of size (H W)^2 exists: what a thread needs is a head's k and v.
//
// float32, bfloat16 and float16 are computed in float32 (forward.cpp, backward.cpp), float64 by its definition
// (double.cpp). No result depends on threads; AVX2 and AVX-512 agree bit for bit, baseline x86 has no fused
// multiply-add and differs by rounding.
#pragma once

#include <cstdint>

#include "core/parallel.h"

namespace pyseg::relpos_attention {

enum class Float : int { f32, f64, bf16, f16 };

inline std::int64_t size_of(Float type) { return type == Float::f64 ? 8 : type == Float::f32 ? 4 : 2; }

// Element (b, h, i, c) of [batch, heads, tokens, channels]; strides in elements.
struct View {
  void* data = nullptr;  // written to only where it is an output
  std::int64_t batch = 0, head = 0, token = 0, channel = 0;

  void* at(Float type, std::int64_t b, std::int64_t h, std::int64_t i = 0) const {
    return static_cast<char*>(data) + (b * batch + h * head + i * token) * size_of(type);
  }
};

struct Problem {
  std::int64_t batch, heads, height, width, channels;
  double scale;
  Float type;  // of q, k, v, the result and its gradient
  View q, k, v;
  // [2 H - 1, d] and [2 W - 1, d], contiguous; float64 where `type` is, else float32.
  const void* rel_h;
  const void* rel_w;

  std::int64_t tokens() const { return height * width; }
};

// Throws unless the sizes are ones that the kernels can take.
void check_problem(const Problem& problem);

// out: [B, N, heads, d] by its strides. norms [B, heads, N, 2]: each query's largest score, and one over its sum of
// exponentials of scores less that, for `backward`; float32, or float64 where `type` is. (The logarithm of the sum,
// which others save, would lose a digit: probabilities would be off by its rounding.)
void forward(const Problem& problem, const View& out, void* norms, const Executor& executor);

// Gradients: of q, k, v in `type`, of the tables in theirs. A head's are computed by one thread.
struct Gradients {
  View q, k, v;
  void* rel_h;
  void* rel_w;
};
void backward(const Problem& problem, const View& out, const void* norms, const View& grad, const Gradients& to,
              const Executor& executor);

void forward_double(const Problem& problem, const View& out, double* norms, const Executor& executor);
void backward_double(const Problem& problem, const View& out, const double* norms, const View& grad,
                     const Gradients& to, const Executor& executor);

// Heads that one task of a backward pass takes in turn: gradients of the tables are summed over them in order, then
// over the tasks.
constexpr std::int64_t kTasks = 64;

}  // namespace pyseg::relpos_attention
