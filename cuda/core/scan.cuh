// Exclusive prefix sums of rows of counts.
#pragma once

#include <driver_types.h>

#include <cstdint>

namespace pyseg::cuda {

// out [rows, n + 1]: out[r][i] = in[r][0] + ... + in[r][i - 1], so that out[r][n] is the row's total, which must fit 32
// bits. in [rows, n]. `scratch` has scan_scratch(n, rows) values.
std::int64_t scan_scratch(std::int64_t n, std::int64_t rows);
cudaError_t exclusive_scan(const std::int32_t* in, std::int32_t* out, std::int64_t n, std::int64_t rows,
                           std::int32_t* scratch, cudaStream_t stream);

}  // namespace pyseg::cuda
