// output = kept ? input / include_probability : 0. Its own backward pass: the mask is drawn again.
#pragma once

#include "dropout/mask.h"
#include "simd/dispatch.h"

namespace fastgan {

// Element i of the arrays is element first + i of the whole batch. input and output may be one.
template <class T>
void dropout(const DropoutMask& mask, std::uint64_t first, std::size_t n, const T* input, T* output,
             std::size_t n_threads);

FASTGAN_DECLARE_KERNEL(void, dropout_float,
                       (const DropoutMask& mask, std::uint64_t first, std::size_t n,
                        const float* input, float* output))
FASTGAN_DECLARE_KERNEL(void, dropout_double,
                       (const DropoutMask& mask, std::uint64_t first, std::size_t n,
                        const double* input, double* output))

}  // namespace fastgan
