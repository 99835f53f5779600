#include "parzen/parzen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/cancel.h"
#include "common/thread_pool.h"
#include "distances/centre.h"

namespace fastgan {
namespace {

// Where float32 products would send more than this share of the pairs to float64 one by one,
// float64 products cost less.
constexpr double kMostRescored = 0.1;
constexpr std::size_t kProbeQueries = 24, kProbeSamples = 512;

// A range of queries that one task packs once and passes over every tile of a block.
constexpr std::size_t kQueriesInTask = 1008;  // a multiple of every level's strip

// A function of samples and sigmas alone: the first rows of the samples stand for the queries.
Precision choose_precision(const Points& samples, const double* centre, const double* sigmas,
                           std::size_t n_sigmas) {
  const double least_sigma = *std::min_element(sigmas, sigmas + n_sigmas);
  const double most_sigma = *std::max_element(sigmas, sigmas + n_sigmas);
  if (least_sigma < 1e-15 || most_sigma > 1e15) return Precision::float64;
  const std::size_t n_probes = std::min(kProbeQueries, samples.n_rows / 2);
  if (n_probes == 0) return Precision::float32;
  const std::size_t last = std::min(samples.n_rows, n_probes + kProbeSamples);
  std::vector<double> ignored(n_sigmas * n_probes);
  const ParzenTask probe{samples, samples,        centre,   sigmas, n_sigmas,
                         0,       n_probes,       n_probes, last,   samples.n_rows,
                         Own{},   ignored.data(), n_probes};
  const auto n_rescored = static_cast<double>(FASTGAN_DISPATCH(parzen_task_float32)(probe));
  const auto n_pairs = static_cast<double>(n_probes * (last - n_probes));
  return n_rescored > kMostRescored * n_pairs ? Precision::float64 : Precision::float32;
}

}  // namespace

Precision parzen_log_sums(const Points& queries, const Points& samples, const double* sigmas,
                          std::size_t n_sigmas, std::size_t block_size, Own own,
                          Precision precision, std::size_t n_threads, double* log_sums) {
  const std::vector<double> centre = centre_of(samples, n_threads);
  if (precision == Precision::automatic) {
    precision = choose_precision(samples, centre.data(), sigmas, n_sigmas);
  }
  const std::size_t n_queries = queries.n_rows;
  const std::size_t n_blocks = (samples.n_rows + block_size - 1) / block_size;
  const std::size_t per_thread = (n_queries + n_threads - 1) / n_threads;
  const std::size_t n_in_task = std::clamp<std::size_t>(per_thread, 12, kQueriesInTask);
  const std::size_t n_ranges = (n_queries + n_in_task - 1) / n_in_task;
  const auto run = precision == Precision::float64 ? FASTGAN_DISPATCH(parzen_task_float64)
                                                   : FASTGAN_DISPATCH(parzen_task_float32);
  parallel_for(n_blocks * n_ranges, n_threads, [&](std::size_t index) {
    const std::size_t block = index / n_ranges;
    const std::size_t first = index % n_ranges * n_in_task;
    run({queries, samples, centre.data(), sigmas, n_sigmas, first,
         std::min(n_queries, first + n_in_task), block * block_size,
         std::min(samples.n_rows, (block + 1) * block_size), samples.n_rows, own,
         log_sums + block * n_sigmas * n_queries + first, n_queries});
  });
  return precision;
}

void merge_log_sums(const double* log_sums, std::size_t n_blocks, std::size_t n, double* merged) {
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 1024 == 0) check_cancelled();
    double largest = log_sums[i];
    for (std::size_t block = 1; block < n_blocks; ++block) {
      largest = std::max(largest, log_sums[block * n + i]);
    }
    merged[i] = largest;
    if (n_blocks == 1 || std::isinf(largest)) continue;
    double sum = 0.0;
    for (std::size_t block = 0; block < n_blocks; ++block) {
      sum += std::exp(log_sums[block * n + i] - largest);
    }
    merged[i] += std::log(sum);
  }
}

}  // namespace fastgan
