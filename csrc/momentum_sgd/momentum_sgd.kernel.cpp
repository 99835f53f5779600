#include "momentum_sgd/momentum_sgd.h"

#include <algorithm>
#include <cmath>

#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

constexpr double kNormEpsilon = 1e-7;  // pylearn2's max_col_norm: w * min(|w|, c) / (1e-7 + |w|)

template <class T>
void update(T lr, T momentum, std::size_t n, T* __restrict weight, T* __restrict velocity,
            const T* __restrict gradient) {
  for (std::size_t i = 0; i < n; ++i) {
    const T v = momentum * velocity[i] - lr * gradient[i];
    velocity[i] = v;
    weight[i] += v;
  }
}

// The sum of squares in double, over 16 lanes whatever the level, so the bits are the same at each.
template <class T>
double sum_of_squares(std::size_t n, const T* row) {
  constexpr std::size_t kLanes = 16;
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double x = static_cast<double>(row[i + lane]);
      lanes[lane] += x * x;
    }
  }
  for (; i < n; ++i) {
    const double x = static_cast<double>(row[i]);
    lanes[i % kLanes] += x * x;
  }
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
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
    const double norm = std::sqrt(sum_of_squares(n_columns, of_row));
    const T factor =
        static_cast<T>((norm > options.max_norm ? options.max_norm : norm) / (kNormEpsilon + norm));
    for (std::size_t i = 0; i < n_columns; ++i) of_row[i] *= factor;
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

}  // namespace fastgan::FASTGAN_LEVEL
