// v = momentum v - lr g, w += v, and the limit on each row's norm, in one pass over memory.
#pragma once

#include <cstddef>

#include "simd/dispatch.h"

namespace fastgan {

struct MomentumSgd {
  double lr;
  double momentum;
  double max_norm;             // of a row; infinity: no limit, and rows are then not looked at
  bool velocity_only = false;  // for the updates of linear/: weights stay, move_weight moves them
};

// Once begun it is not cancelled. weight, velocity and gradient: n_rows rows of n_columns numbers,
// one after the other.
template <class T>
void momentum_sgd(const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns, T* weight,
                  T* velocity, const T* gradient, std::size_t n_threads);

// The second half alone, by a velocity that is there: w += v, and the limit on each row's norm. Bit
// for bit what the whole would have done with that v, and not cancelled either once begun.
template <class T>
void move_weight(double max_norm, std::size_t n_rows, std::size_t n_columns, T* weight,
                 const T* velocity, std::size_t n_threads);

FASTGAN_DECLARE_KERNEL(void, momentum_sgd_float,
                       (const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns,
                        float* weight, float* velocity, const float* gradient))
FASTGAN_DECLARE_KERNEL(void, momentum_sgd_double,
                       (const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns,
                        double* weight, double* velocity, const double* gradient))
FASTGAN_DECLARE_KERNEL(void, move_weight_float,
                       (double max_norm, std::size_t n_rows, std::size_t n_columns, float* weight,
                        const float* velocity))
FASTGAN_DECLARE_KERNEL(void, move_weight_double,
                       (double max_norm, std::size_t n_rows, std::size_t n_columns, double* weight,
                        const double* velocity))

}  // namespace fastgan
