// Gaussian Parzen sums: for each query, block of samples and sigma,
//
//     log sum_i exp(-|x - s_i|^2 / (2 sigma^2))
//
// streamed over tiles (never a matrix of n_queries x n_samples), right to float64 although most of
// the work is float32. csrc/README.md has the reasoning; parzen.kernel.cpp the arithmetic.
#pragma once

#include <cstddef>

#include "distances/points.h"
#include "index/survivors.h"
#include "simd/dispatch.h"

namespace fastgan {

// The most, in nats, that rounding may move a result by: terms whose share of the sum could move it
// by more, all together, are scored again in float64.
inline constexpr double kParzenBudgetNats = 1e-5;

struct ParzenTask {
  Points queries, samples;
  const double* centre;  // (n_features)
  const double* sigmas;  // (n_sigmas)
  std::size_t n_sigmas;
  std::size_t first_query, last_query;
  std::size_t first_sample, last_sample;
  std::size_t n_samples;  // of the whole sum, for the threshold of rescoring
  Own own;
  // log_sums[sigma * sigma_stride + query - first_query]
  double* log_sums;
  std::size_t sigma_stride;
};

// Return how many pairs were scored again in float64.
FASTGAN_DECLARE_KERNEL(std::size_t, parzen_task_float32, (const ParzenTask& task))
FASTGAN_DECLARE_KERNEL(std::size_t, parzen_task_float64, (const ParzenTask& task))

// The same through an index: a sample counts for a sigma where its squared distance d2 is at most
//
//     m + 2 sigma^2 cut,    cut = ln(n_samples / tolerance)
//
// with m the smallest d2 of the query met before this tile: that of `least`, or one of this block's
// earlier tiles. Each that does not count is below exp(-m / (2 sigma^2)) tolerance / n_samples.
// Which samples count follows from distances alone, so neither the frame, nor the lattices, nor the
// queries' company can change a bit.
struct IndexParzenTask {
  IndexScan scan;
  Points queries, samples;
  const double* sigmas;
  std::size_t n_sigmas;
  double cut;
  const double* least;  // (n_queries): an upper bound of the smallest squared distance
  std::size_t first_query, last_query;
  std::size_t first_sample, last_sample;  // the block
  double* log_sums;                       // [sigma * sigma_stride + query - first_query]
  double* log_dropped;
  std::size_t sigma_stride;
  double* least_met;  // [query - first_query]: `least`, or the block's smallest if that is smaller
};

FASTGAN_DECLARE_KERNEL(Survivors, index_parzen_task, (const IndexParzenTask& task))

enum class Precision { automatic, float32, float64 };

// log_sums: (n_blocks, n_sigmas, n_queries) with n_blocks = ceil(n_samples / block_size). Returns
// the precision of the products. The bits of the result depend on the inputs, block_size, precision
// and SIMD level alone: not on n_threads and not on which queries come together.
Precision parzen_log_sums(const Points& queries, const Points& samples, const double* sigmas,
                          std::size_t n_sigmas, std::size_t block_size, Own own,
                          Precision precision, std::size_t n_threads, double* log_sums);

// merged[i] = log sum_b exp(log_sums[b * n + i]) for i < n, blocks added in their order. Scalar on
// purpose: a vectorised exp may round otherwise in a vector than in the rest of a row, and then the
// bits of a query would depend on which others it came with.
void merge_log_sums(const double* log_sums, std::size_t n_blocks, std::size_t n, double* merged);

}  // namespace fastgan
