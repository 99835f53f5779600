// The three products of a dense layer y = x W^T + b, each with what a training step does around it:
// forward with the activation, the gradient of the input, and the gradient of the weight taken
// straight into velocity and weight. A factor that is zero costs nothing: a maxout layer's gradient
// is zero but at the winners, a ReLU layer's where the unit was silent.
//
// Bits: every number of input_gradient and update is one sum in ascending order of the summed index
// (one fused multiply-add each where the level has one). Neither the way through (dense, or by
// lists of what is not zero) nor the number of threads can change it. A number of forward is a sum
// over lanes and over blocks of kForwardBlock features: it depends on the SIMD level, not on
// threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dropout/mask.h"
#include "momentum_sgd/momentum_sgd.h"
#include "simd/dispatch.h"

namespace fastgan {

enum class Activation { linear, relu, sigmoid };

// input (n_rows, n_features), weight (n_units, n_features), output and delta (n_rows, n_units).
struct LinearShape {
  std::size_t n_rows;
  std::size_t n_features;
  std::size_t n_units;
};

// output = activation(input weight^T + bias); bias may be null.
template <class T>
void linear_forward(const LinearShape& shape, const T* input, const T* weight, const T* bias,
                    Activation activation, T* output, std::size_t n_threads);

// gradient (n_rows, n_features) = delta weight.
template <class T>
void linear_input_gradient(const LinearShape& shape, const T* delta, const T* weight, T* gradient,
                           std::size_t n_threads);

// The gradients sum_i scale[i] delta[i, unit] input[i, :] and sum_i scale[i] delta[i, unit] move
// weight and bias (null: there is none), or where `move` says velocity_only their velocities alone:
// weight and bias are then neither read nor written, and with a momentum of 0 velocities are not
// read either. row_scale (n_rows) may be null: all ones. Once begun it is not cancelled.
template <class T>
void linear_update(const LinearShape& shape, const T* delta, const T* row_scale, const T* input,
                   const MomentumSgd& move, T* weight, T* velocity, T* bias, T* bias_velocity,
                   std::size_t n_threads);

// A maxout layer's delta in short: values (n_rows, n_units / n_pieces), and which piece of each
// unit they belong to; the other pieces' are zero. A winner beyond the pieces belongs to none.
template <class T>
struct WinnerDelta {
  const T* values;
  const std::uint8_t* winner;
  std::size_t n_pieces;
};

// The same two, for such a delta: bit for bit what they would be for the long one.
template <class T>
void maxout_input_gradient(const LinearShape& shape, const WinnerDelta<T>& delta, const T* weight,
                           T* gradient, std::size_t n_threads);
template <class T>
void maxout_update(const LinearShape& shape, const WinnerDelta<T>& delta, const T* row_scale,
                   const T* input, const MomentumSgd& move, T* weight, T* velocity, T* bias,
                   T* bias_velocity, std::size_t n_threads);

// delta = gradient activation'(.), written with the activation's own values, all (n_rows,
// n_columns); the gradient is scaled by row (row_scale may be null) and masked as element first + i
// of the batch. gradient_stride is n_columns, or 0 where all rows have one gradient.
template <class T>
void activation_delta(std::size_t n_rows, std::size_t n_columns, const T* gradient,
                      std::size_t gradient_stride, const T* row_scale, const DropoutMask& mask,
                      std::uint64_t first, Activation activation, const T* values, T* delta,
                      std::size_t n_threads);

// Units [first_unit, last_unit) of every row.
FASTGAN_DECLARE_KERNEL(void, linear_forward_float,
                       (const LinearShape& shape, const float* input, const float* weight,
                        const float* bias, Activation activation, std::size_t first_unit,
                        std::size_t last_unit, float* output))
FASTGAN_DECLARE_KERNEL(void, linear_forward_double,
                       (const LinearShape& shape, const double* input, const double* weight,
                        const double* bias, Activation activation, std::size_t first_unit,
                        std::size_t last_unit, double* output))

// What is not zero in a delta, row by row: lists (n_rows, n_units), of which a row's first
// counts[row] places are taken, in ascending order. Null lists: not listed, go the dense way.
template <class T>
struct Nonzero {
  std::uint32_t at;
  T value;
};
template <class T>
struct NonzeroRows {
  Nonzero<T>* lists;
  std::size_t* counts;
};
FASTGAN_DECLARE_KERNEL(void, maxout_list_float,
                       (const LinearShape& shape, const WinnerDelta<float>& delta,
                        std::size_t first_row, std::size_t last_row,
                        const NonzeroRows<float>& rows))
FASTGAN_DECLARE_KERNEL(void, linear_list_float,
                       (const LinearShape& shape, const float* delta, std::size_t first_row,
                        std::size_t last_row, const NonzeroRows<float>& rows))
FASTGAN_DECLARE_KERNEL(void, maxout_list_double,
                       (const LinearShape& shape, const WinnerDelta<double>& delta,
                        std::size_t first_row, std::size_t last_row,
                        const NonzeroRows<double>& rows))
FASTGAN_DECLARE_KERNEL(void, linear_list_double,
                       (const LinearShape& shape, const double* delta, std::size_t first_row,
                        std::size_t last_row, const NonzeroRows<double>& rows))

// Features [first, last) of every row.
FASTGAN_DECLARE_KERNEL(void, linear_input_gradient_float,
                       (const LinearShape& shape, const float* delta,
                        const NonzeroRows<float>& rows, const float* weight, std::size_t first,
                        std::size_t last, float* gradient))
FASTGAN_DECLARE_KERNEL(void, linear_input_gradient_double,
                       (const LinearShape& shape, const double* delta,
                        const NonzeroRows<double>& rows, const double* weight, std::size_t first,
                        std::size_t last, double* gradient))

// Units [first_unit, last_unit): gradient, velocity, weight, norm, bias. maxout_update: whole units
// of n_pieces.
FASTGAN_DECLARE_KERNEL(void, linear_update_float,
                       (const LinearShape& shape, const float* delta, const float* row_scale,
                        const float* input, const MomentumSgd& move, std::size_t first_unit,
                        std::size_t last_unit, float* weight, float* velocity, float* bias,
                        float* bias_velocity))
FASTGAN_DECLARE_KERNEL(void, linear_update_double,
                       (const LinearShape& shape, const double* delta, const double* row_scale,
                        const double* input, const MomentumSgd& move, std::size_t first_unit,
                        std::size_t last_unit, double* weight, double* velocity, double* bias,
                        double* bias_velocity))

FASTGAN_DECLARE_KERNEL(void, activation_delta_float,
                       (std::size_t n_rows, std::size_t n_columns, const float* gradient,
                        std::size_t gradient_stride, const float* row_scale,
                        const DropoutMask& mask, std::uint64_t first, Activation activation,
                        const float* values, float* delta))
FASTGAN_DECLARE_KERNEL(void, activation_delta_double,
                       (std::size_t n_rows, std::size_t n_columns, const double* gradient,
                        std::size_t gradient_stride, const double* row_scale,
                        const DropoutMask& mask, std::uint64_t first, Activation activation,
                        const double* values, double* delta))

FASTGAN_DECLARE_KERNEL(void, maxout_update_float,
                       (const LinearShape& shape, const WinnerDelta<float>& delta,
                        const float* row_scale, const float* input, const MomentumSgd& move,
                        std::size_t first_unit, std::size_t last_unit, float* weight,
                        float* velocity, float* bias, float* bias_velocity))

FASTGAN_DECLARE_KERNEL(void, maxout_update_double,
                       (const LinearShape& shape, const WinnerDelta<double>& delta,
                        const double* row_scale, const double* input, const MomentumSgd& move,
                        std::size_t first_unit, std::size_t last_unit, double* weight,
                        double* velocity, double* bias, double* bias_velocity))

// How many numbers of n are not zero.
FASTGAN_DECLARE_KERNEL(std::size_t, count_nonzero_float, (const float* values, std::size_t n))
FASTGAN_DECLARE_KERNEL(std::size_t, count_nonzero_double, (const double* values, std::size_t n))

}  // namespace fastgan
