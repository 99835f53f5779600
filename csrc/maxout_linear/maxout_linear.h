// What a maxout layer does around its matrix products: bias, maximum over pieces, winner and
// dropout in one pass forward; mask, winner-sparse gradient of the pieces and bias gradient in one
// pass back.
#pragma once

#include "dropout/mask.h"
#include "simd/dispatch.h"

namespace fastgan {

struct MaxoutShape {
  std::size_t n_rows;
  std::size_t n_units;
  std::size_t n_pieces;  // 1 to 256

  std::size_t n_columns() const { return n_units * n_pieces; }
};

// products (n_rows, n_units * n_pieces) and bias (n_units * n_pieces) -> values and winner, each
// (n_rows, n_units). Of equal pieces the lowest wins; the lowest NaN wins over everything. The
// first value is element first of the batch for the mask.
template <class T>
void maxout_forward(const MaxoutShape& shape, const T* products, const T* bias,
                    const DropoutMask& mask, std::uint64_t first, T* values, std::uint8_t* winner,
                    std::size_t n_threads);

// gradient and winner (n_rows, n_units) -> delta (n_rows, n_units * n_pieces), the gradient of the
// products (zero but at the winners), and its sum over rows, bias_gradient (n_units * n_pieces),
// if that is wanted (not null). gradient_stride is n_units, or 0 where all rows have one gradient.
// The sum is taken in double over blocks of rows that depend on n_rows alone, then over blocks in
// order: its bits do not depend on the number of threads.
template <class T>
void maxout_backward(const MaxoutShape& shape, const T* gradient, std::size_t gradient_stride,
                     const std::uint8_t* winner, const DropoutMask& mask, std::uint64_t first,
                     T* delta, T* bias_gradient, std::size_t n_threads);

FASTGAN_DECLARE_KERNEL(void, maxout_forward_float,
                       (const MaxoutShape& shape, const float* products, const float* bias,
                        const DropoutMask& mask, std::uint64_t first, float* values,
                        std::uint8_t* winner))
FASTGAN_DECLARE_KERNEL(void, maxout_forward_double,
                       (const MaxoutShape& shape, const double* products, const double* bias,
                        const DropoutMask& mask, std::uint64_t first, double* values,
                        std::uint8_t* winner))
// bias_sum (n_units * n_pieces), or null, starts at what it holds; scratch has room for n_units
// numbers.
FASTGAN_DECLARE_KERNEL(void, maxout_backward_float,
                       (const MaxoutShape& shape, const float* gradient,
                        std::size_t gradient_stride, const std::uint8_t* winner,
                        const DropoutMask& mask, std::uint64_t first, float* delta,
                        double* bias_sum, float* scratch))
FASTGAN_DECLARE_KERNEL(void, maxout_backward_double,
                       (const MaxoutShape& shape, const double* gradient,
                        std::size_t gradient_stride, const std::uint8_t* winner,
                        const DropoutMask& mask, std::uint64_t first, double* delta,
                        double* bias_sum, double* scratch))

}  // namespace fastgan
