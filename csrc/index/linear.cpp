#include "index/linear.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/thread_pool.h"

namespace fastgan {
namespace {

constexpr std::size_t kColumnsInTask = 48;  // a multiple of every level's strip of 12, 6 or 4

template <class T, class Kernel>
void share_out(Kernel kernel, CrossProductTask<T> task, std::size_t n_threads) {
  const std::size_t n_tasks = (task.n_left + kColumnsInTask - 1) / kColumnsInTask;
  parallel_for(n_tasks, n_threads, [&](std::size_t index) {
    CrossProductTask<T> part = task;
    part.first_left = index * kColumnsInTask;
    part.last_left = std::min(task.n_left, part.first_left + kColumnsInTask);
    kernel(part);
  });
}

// Upper triangular R with R^T R = gram, in place; a row of zeros where the pivot is nothing but
// rounding (a column that depends on the ones before it).
void cholesky(double* gram, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) {
    double* row = gram + j * n;
    const double before = row[j];
    double pivot = before;
    for (std::size_t l = 0; l < j; ++l) pivot -= gram[l * n + j] * gram[l * n + j];
    if (!(pivot > 1e-10 * before) || !(before > 0.0)) {
      std::fill(row + j, row + n, 0.0);
      continue;
    }
    row[j] = std::sqrt(pivot);
    for (std::size_t l = 0; l < j; ++l) {
      const double factor = gram[l * n + j];
      if (factor == 0.0) continue;
      const double* other = gram + l * n;
      for (std::size_t i = j + 1; i < n; ++i) row[i] -= factor * other[i];
    }
    for (std::size_t i = j + 1; i < n; ++i) row[i] /= row[j];
  }
}

}  // namespace

void cross_product(const float* left, const float* right, std::size_t n_rows, std::size_t n_left,
                   std::size_t n_right, std::size_t n_threads, float* products) {
  share_out<float>(FASTGAN_DISPATCH(cross_product_float),
                   {left, right, n_rows, n_left, n_right, 0, 0, products}, n_threads);
}

void cross_product(const double* left, const double* right, std::size_t n_rows, std::size_t n_left,
                   std::size_t n_right, std::size_t n_threads, double* products) {
  share_out<double>(FASTGAN_DISPATCH(cross_product_double),
                    {left, right, n_rows, n_left, n_right, 0, 0, products}, n_threads);
}

// Cholesky of the Gram matrix in float64: the columns come from a float32 product and are far from
// dependent (or exactly so), which leaves ten digits of orthogonality.
void orthonormalise(double* matrix, std::size_t n_rows, std::size_t n_columns,
                    std::size_t n_threads) {
  std::vector<double> gram(n_columns * n_columns);
  cross_product(matrix, matrix, n_rows, n_columns, n_columns, n_threads, gram.data());
  cholesky(gram.data(), n_columns);
  parallel_rows(n_rows, 64, n_threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t row = first; row < last; ++row) {
      double* values = matrix + row * n_columns;
      for (std::size_t j = 0; j < n_columns; ++j) {
        const double* factors = &gram[j * n_columns];
        if (factors[j] == 0.0) {
          values[j] = 0.0;
          continue;
        }
        const double value = values[j] /= factors[j];
        for (std::size_t i = j + 1; i < n_columns; ++i) values[i] -= value * factors[i];
      }
    }
  });
}

double departure_from_orthonormal(const double* matrix, std::size_t n_rows, std::size_t n_columns,
                                  std::size_t n_threads) {
  std::vector<double> square(n_columns * n_columns);
  cross_product(matrix, matrix, n_rows, n_columns, n_columns, n_threads, square.data());
  double departure = 0.0;
  for (std::size_t i = 0; i < n_columns; ++i) {
    for (std::size_t j = 0; j < n_columns; ++j) {
      const double expected = i == j && square[i * n_columns + i] != 0.0 ? 1.0 : 0.0;
      const double off = square[i * n_columns + j] - expected;
      departure += off * off;
    }
  }
  return std::sqrt(departure);
}

}  // namespace fastgan
