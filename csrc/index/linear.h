// The two dense products that learning a frame takes; the same bits for any number of threads.
#pragma once

#include <cstddef>

#include "simd/dispatch.h"

namespace fastgan {

// products (n_left, n_right) = left^T right for left (n_rows, n_left), right (n_rows, n_right), all
// row-major; columns [first_left, last_left) of left only. n_right is a multiple of 32.
template <class T>
struct CrossProductTask {
  const T* left;
  const T* right;
  std::size_t n_rows, n_left, n_right;
  std::size_t first_left, last_left;
  T* products;
};

FASTGAN_DECLARE_KERNEL(void, cross_product_float, (const CrossProductTask<float>& task))
FASTGAN_DECLARE_KERNEL(void, cross_product_double, (const CrossProductTask<double>& task))

void cross_product(const float* left, const float* right, std::size_t n_rows, std::size_t n_left,
                   std::size_t n_right, std::size_t n_threads, float* products);
void cross_product(const double* left, const double* right, std::size_t n_rows, std::size_t n_left,
                   std::size_t n_right, std::size_t n_threads, double* products);

// Makes the columns of a row-major (n_rows, n_columns) matrix orthonormal, in order; a column that
// the ones before it hold already becomes zero.
void orthonormalise(double* matrix, std::size_t n_rows, std::size_t n_columns,
                    std::size_t n_threads);

// The Frobenius norm of (the matrix's Gram matrix less the identity, zero where a column is zero).
double departure_from_orthonormal(const double* matrix, std::size_t n_rows, std::size_t n_columns,
                                  std::size_t n_threads);

}  // namespace fastgan
