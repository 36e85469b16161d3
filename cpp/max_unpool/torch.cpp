// torch.ops.pyseg.max_pool, max_gather, max_spread: schemas and CPU kernels. Their derivatives are one another.
//
// Tensors are [B, C, H, W] or [B, C, D, H, W]. `window` holds kernel, stride, padding and dilation, one value an axis
// each.
#include "core/torch.h"

#include <optional>
#include <vector>

#include "max_unpool/max_unpool.h"

namespace {

using pyseg::check;
using pyseg::check_type;
using pyseg::torch_binding::ScalarType;
using pyseg::torch_binding::Tensor;
using pyseg::torch_binding::TorchExecutor;
using torch::headeronly::MemoryFormat;
namespace pool = pyseg::max_unpool;

using Ints = std::vector<std::int64_t>;

MemoryFormat format_of(std::int64_t rank, bool channels_last) {
  if (!channels_last) return MemoryFormat::Contiguous;
  return rank == 5 ? MemoryFormat::ChannelsLast3d : MemoryFormat::ChannelsLast;
}

Tensor dense(const Tensor& t, bool channels_last) {
  return torch::stable::contiguous(t, format_of(t.dim(), channels_last));
}

Tensor fresh(const Ints& shape, ScalarType type, bool channels_last) {
  const auto format = format_of(static_cast<std::int64_t>(shape.size()), channels_last);
  return torch::stable::empty(shape, type, std::nullopt, std::nullopt, std::nullopt, format);
}

void ask_for_huge_pages(const Tensor& t, std::int64_t size) {
  pool::huge_pages(t.mutable_data_ptr(), t.numel() * size);
}

pool::Value value_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Half:
      return pool::Value::f16;
    case ScalarType::BFloat16:
      return pool::Value::bf16;
    case ScalarType::Float:
      return pool::Value::f32;
    case ScalarType::Double:
      return pool::Value::f64;
    default:
      throw pyseg::TypeError("max_unpool: values must be float16, bfloat16, float32 or float64");
  }
}

ScalarType type_of(pool::Index index) {
  return index == pool::Index::tap ? ScalarType::Byte : index == pool::Index::i32 ? ScalarType::Int : ScalarType::Long;
}

pool::Index index_of(const Tensor& t) {
  for (const auto index : {pool::Index::tap, pool::Index::i32, pool::Index::i64})
    if (t.scalar_type() == type_of(index)) return index;
  throw pyseg::TypeError("max_unpool: indices must be uint8, int32 or int64");
}

// Windows, batch and channels; the sizes of the spatial axes go to `spatial`.
pool::Problem problem_of(const Tensor& t, const Ints& window, bool channels_last, pool::Sizes& spatial) {
  pool::Problem p;
  const std::int64_t rank = t.dim(), dims = rank - 2;
  check(t.is_cpu(), "max_unpool: tensors must be on the CPU");
  check((rank == 4 || rank == 5) && static_cast<std::int64_t>(window.size()) == 4 * dims,
        "max_unpool: tensors must be [B, C, H, W] or [B, C, D, H, W], window of 4 values an axis, got ", rank,
        " axes and ", window.size(), " values");
  spatial = {1, 1, 1};
  for (std::int64_t i = 0; i < dims; ++i) {
    const auto a = static_cast<std::size_t>(3 - dims + i), w = static_cast<std::size_t>(i);
    const auto n = static_cast<std::size_t>(dims);
    spatial[a] = t.size(2 + i);
    p.kernel[a] = window[w];
    p.stride[a] = window[n + w];
    p.padding[a] = window[2 * n + w];
    p.dilation[a] = window[3 * n + w];
  }
  p.batch = t.size(0);
  p.channels = t.size(1);
  p.channels_last = channels_last;
  p.value = value_of(t);
  return p;
}

Ints shape_of(const pool::Problem& p, const pool::Sizes& spatial, std::int64_t rank) {
  Ints shape{p.batch, p.channels};
  shape.insert(shape.end(), spatial.end() - (rank - 2), spatial.end());
  return shape;
}

void same_shape(const Tensor& indices, const Ints& shape) {
  bool same = indices.is_cpu() && indices.dim() == static_cast<std::int64_t>(shape.size());
  for (std::size_t d = 0; same && d < shape.size(); ++d) same = indices.size(static_cast<std::int64_t>(d)) == shape[d];
  check(same, "max_unpool: indices must have the shape of the pooled values, on the CPU");
}

std::tuple<Tensor, Tensor> max_pool(const Tensor& x, Ints window, bool ceil_mode, std::int64_t index,
                                    bool channels_last) {
  check(index >= 0 && index <= 2, "max_pool: index must be 0 .. 2, got ", index);
  pool::Sizes large;
  pool::Problem p = problem_of(x, window, channels_last, large);
  p.large = large;
  p.index = static_cast<pool::Index>(index);
  for (std::size_t a = 0; a < 3; ++a)
    p.small[a] =
        pool::pooled_size("max_pool", p.large[a], p.kernel[a], p.stride[a], p.padding[a], p.dilation[a], ceil_mode);
  pool::verify("max_pool", p, true);
  const Ints shape = shape_of(p, p.small, x.dim());
  const Tensor from = dense(x, channels_last);
  Tensor y = fresh(shape, x.scalar_type(), channels_last);
  Tensor indices = fresh(shape, type_of(p.index), channels_last);
  ask_for_huge_pages(y, size_of(p.value));
  ask_for_huge_pages(indices, size_of(p.index));
  pool::pool(p, from.const_data_ptr(), y.mutable_data_ptr(), indices.mutable_data_ptr(), TorchExecutor());
  return {y, indices};
}

Tensor max_gather(const Tensor& large, const Tensor& indices, Ints window, bool channels_last) {
  pool::Sizes large_size, small_size{1, 1, 1};
  pool::Problem p = problem_of(large, window, channels_last, large_size);
  p.large = large_size;
  p.index = index_of(indices);
  check(indices.dim() == large.dim(), "max_unpool: indices must have the axes of the values, got ", indices.dim());
  for (std::int64_t i = 2; i < large.dim(); ++i)
    small_size[static_cast<std::size_t>(i + 3 - large.dim())] = indices.size(i);
  p.small = small_size;
  const Ints shape = shape_of(p, p.small, large.dim());
  same_shape(indices, shape);
  pool::verify("max_unpool", p, false);
  const Tensor from = dense(large, channels_last), at = dense(indices, channels_last);
  Tensor small = fresh(shape, large.scalar_type(), channels_last);
  ask_for_huge_pages(small, size_of(p.value));
  pool::gather(p, from.const_data_ptr(), at.const_data_ptr(), small.mutable_data_ptr(), TorchExecutor());
  return small;
}

struct Spread {
  pool::Problem p;
  Tensor small, indices;
  std::optional<Tensor> scale, shift;
  pool::Affine affine;
  Ints shape;

  Spread(const Tensor& values, const Tensor& places, const Ints& window, const Ints& size, bool add,
         const std::optional<Tensor>& scale_, const std::optional<Tensor>& shift_, bool relu, bool channels_last)
      : small(values), indices(places) {
    pool::Sizes small_size;
    p = problem_of(values, window, channels_last, small_size);
    p.small = small_size;
    p.index = index_of(places);
    same_shape(places, shape_of(p, p.small, values.dim()));
    check(static_cast<std::int64_t>(size.size()) == values.dim() - 2, "max_unpool: size must have one value an axis");
    p.large = {1, 1, 1};
    for (std::size_t i = 0; i < size.size(); ++i) p.large[3 - size.size() + i] = size[i];
    pool::verify("max_unpool", p, false);
    small = dense(values, channels_last);
    indices = dense(places, channels_last);
    shape = shape_of(p, p.large, values.dim());
    check(!add || (!scale_ && !shift_ && !relu), "max_unpool: sums have no scale, shift or relu");
    affine.scale = channel_values(scale_, scale);
    affine.shift = channel_values(shift_, shift);
    affine.relu = relu;
  }
  const double* channel_values(const std::optional<Tensor>& given, std::optional<Tensor>& kept) const {
    if (!given) return nullptr;
    check(given->is_cpu() && given->scalar_type() == ScalarType::Double && given->dim() == 1 &&
              given->size(0) == p.channels,
          "max_unpool: scale and shift must be float64 [", p.channels, "], on the CPU");
    kept = torch::stable::contiguous(*given);
    return static_cast<const double*>(kept->const_data_ptr());
  }
};

Tensor max_spread(const Tensor& small, const Tensor& indices, Ints window, Ints size, bool add, bool windowed,
                  std::optional<Tensor> scale, std::optional<Tensor> shift, bool relu, bool channels_last) {
  const Spread s(small, indices, window, size, add, scale, shift, relu, channels_last);
  Tensor large = fresh(s.shape, small.scalar_type(), channels_last);
  ask_for_huge_pages(large, size_of(s.p.value));
  pool::spread(s.p, s.small.const_data_ptr(), s.indices.const_data_ptr(), large.mutable_data_ptr(), add, windowed,
               s.affine, TorchExecutor());
  return large;
}

bool overlap(const Tensor& a, std::int64_t a_bytes, const Tensor& b, std::int64_t b_bytes) {
  const auto* p = static_cast<const std::byte*>(a.const_data_ptr());
  const auto* q = static_cast<const std::byte*>(b.const_data_ptr());
  return p < q + b_bytes && q < p + a_bytes;
}

// `out` is dense in the format that `channels_last` says.
void max_spread_out(const Tensor& out, const Tensor& small, const Tensor& indices, Ints window, Ints size,
                    bool windowed, std::optional<Tensor> scale, std::optional<Tensor> shift, bool relu,
                    bool channels_last) {
  const Spread s(small, indices, window, size, false, scale, shift, relu, channels_last);
  bool same = out.is_cpu() && out.scalar_type() == small.scalar_type() && out.dim() == small.dim();
  for (std::size_t d = 0; same && d < s.shape.size(); ++d) same = out.size(static_cast<std::int64_t>(d)) == s.shape[d];
  check(same, "max_unpool: out must have the values' dtype and the output's shape, on the CPU");
  std::int64_t step = 1;  // of the axes from the innermost on, in the format's order
  const std::int64_t rank = out.dim();
  for (std::int64_t i = 0; i < rank; ++i) {
    const std::int64_t d = channels_last ? (i == 0 ? 1 : i == rank - 1 ? 0 : rank - i) : rank - 1 - i;
    check(out.size(d) == 1 || out.numel() == 0 || out.stride(d) == step, "max_unpool: out must be dense in its format");
    step *= out.size(d);
  }
  const std::int64_t bytes = out.numel() * size_of(s.p.value);
  check(!overlap(out, bytes, s.small, s.small.numel() * size_of(s.p.value)) &&
            !overlap(out, bytes, s.indices, s.indices.numel() * size_of(s.p.index)),
        "max_unpool: out must not share memory with the input");
  pool::spread(s.p, s.small.const_data_ptr(), s.indices.const_data_ptr(), out.mutable_data_ptr(), false, windowed,
               s.affine, TorchExecutor());
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def(
      "max_pool(Tensor x, int[] window, bool ceil_mode, int index, bool channels_last) -> (Tensor y, Tensor indices)");
  m.def("max_gather(Tensor large, Tensor indices, int[] window, bool channels_last) -> Tensor");
  m.def(
      "max_spread(Tensor small, Tensor indices, int[] window, SymInt[] size, bool add, bool windowed, Tensor? scale, "
      "Tensor? shift, bool relu, bool channels_last) -> Tensor");
  m.def(
      "max_spread_out(Tensor(a!) out, Tensor small, Tensor indices, int[] window, SymInt[] size, bool windowed, "
      "Tensor? scale, Tensor? shift, bool relu, bool channels_last) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CPU, m) {
  m.impl("max_pool", TORCH_BOX(&max_pool));
  m.impl("max_gather", TORCH_BOX(&max_gather));
  m.impl("max_spread", TORCH_BOX(&max_spread));
  m.impl("max_spread_out", TORCH_BOX(&max_spread_out));
}
