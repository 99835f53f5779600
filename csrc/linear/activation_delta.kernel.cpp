#include <algorithm>

#include "linear/linear.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class T>
void run(std::size_t n_rows, std::size_t n_columns, const T* gradient, std::size_t gradient_stride,
         const T* row_scale, const DropoutMask& mask, std::uint64_t first, Activation activation,
         const T* values, T* delta) {
  for (std::size_t row = 0; row < n_rows; ++row) {
    const std::size_t at = row * n_columns;
    const T* from = gradient + row * gradient_stride;
    T* to = delta + at;  // may be where the gradient is
    if (mask.threshold != kKeepAll) {
      drop(mask, first + at, n_columns, from, to);
    } else if (from != to) {
      std::copy_n(from, n_columns, to);
    }
    if (row_scale != nullptr) {
      const T scale = row_scale[row];
      for (std::size_t i = 0; i < n_columns; ++i) to[i] *= scale;
    }
    const T* __restrict y = values + at;
    if (activation == Activation::relu) {
      for (std::size_t i = 0; i < n_columns; ++i) to[i] = y[i] <= T{0} ? T{0} : to[i];
    } else if (activation == Activation::sigmoid) {
      for (std::size_t i = 0; i < n_columns; ++i) to[i] = to[i] * ((T{1} - y[i]) * y[i]);
    }
  }
}

}  // namespace

void activation_delta_float(std::size_t n_rows, std::size_t n_columns, const float* gradient,
                            std::size_t gradient_stride, const float* row_scale,
                            const DropoutMask& mask, std::uint64_t first, Activation activation,
                            const float* values, float* delta) {
  run(n_rows, n_columns, gradient, gradient_stride, row_scale, mask, first, activation, values,
      delta);
}

void activation_delta_double(std::size_t n_rows, std::size_t n_columns, const double* gradient,
                             std::size_t gradient_stride, const double* row_scale,
                             const DropoutMask& mask, std::uint64_t first, Activation activation,
                             const double* values, double* delta) {
  run(n_rows, n_columns, gradient, gradient_stride, row_scale, mask, first, activation, values,
      delta);
}

}  // namespace fastgan::FASTGAN_LEVEL
