#include "momentum_sgd/momentum_sgd.h"

#include <cmath>

#include "momentum_sgd/max_norm.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class T>
void update(T lr, T momentum, std::size_t n, T* __restrict weight, T* __restrict velocity,
            const T* __restrict gradient) {
  for (std::size_t i = 0; i < n; ++i) {
    const T v = momentum * velocity[i] - lr * gradient[i];
    velocity[i] = v;
    weight[i] += v;
  }
}

template <class T>
void update_rows(const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns, T* weight,
                 T* velocity, const T* gradient) {
  const T lr = static_cast<T>(options.lr), momentum = static_cast<T>(options.momentum);
  if (std::isinf(options.max_norm)) {
    update(lr, momentum, n_rows * n_columns, weight, velocity, gradient);
    return;
  }
  for (std::size_t row = 0; row < n_rows; ++row) {
    T* of_row = weight + row * n_columns;
    update(lr, momentum, n_columns, of_row, velocity + row * n_columns, gradient + row * n_columns);
    limit_norm(options.max_norm, n_columns, of_row);
  }
}

template <class T>
void add(std::size_t n, T* __restrict weight, const T* __restrict velocity) {
  for (std::size_t i = 0; i < n; ++i) weight[i] += velocity[i];
}

template <class T>
void move_rows(double max_norm, std::size_t n_rows, std::size_t n_columns, T* weight,
               const T* velocity) {
  if (std::isinf(max_norm)) {
    add(n_rows * n_columns, weight, velocity);
    return;
  }
  for (std::size_t row = 0; row < n_rows; ++row) {
    T* of_row = weight + row * n_columns;
    add(n_columns, of_row, velocity + row * n_columns);
    limit_norm(max_norm, n_columns, of_row);
  }
}

}  // namespace

void momentum_sgd_float(const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns,
                        float* weight, float* velocity, const float* gradient) {
  update_rows(options, n_rows, n_columns, weight, velocity, gradient);
}

void momentum_sgd_double(const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns,
                         double* weight, double* velocity, const double* gradient) {
  update_rows(options, n_rows, n_columns, weight, velocity, gradient);
}

void move_weight_float(double max_norm, std::size_t n_rows, std::size_t n_columns, float* weight,
                       const float* velocity) {
  move_rows(max_norm, n_rows, n_columns, weight, velocity);
}

void move_weight_double(double max_norm, std::size_t n_rows, std::size_t n_columns, double* weight,
                        const double* velocity) {
  move_rows(max_norm, n_rows, n_columns, weight, velocity);
}

}  // namespace fastgan::FASTGAN_LEVEL
