#include "neighbors/neighbors.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "common/thread_pool.h"
#include "distances/centre.h"

namespace fastgan {
namespace {

// Past this share of pairs that float32 leaves undecided, float64 products cost less.
constexpr double kMostScored = 0.1;
constexpr std::size_t kProbeQueries = 24, kProbeRows = 512;
constexpr std::size_t kQueriesInTask = 1008;
constexpr std::size_t kRowsInSegment = 65536;

// The answer is unique, so the choice can change its cost only.
bool float32_decides(const Points& data, const double* centre, std::size_t k) {
  const std::size_t n_probes = std::min(kProbeQueries, data.n_rows / 2);
  const std::size_t last = std::min(data.n_rows, n_probes + kProbeRows);
  if (n_probes == 0 || k * 4 > last - n_probes) return true;
  std::vector<double> distances(n_probes * k);
  std::vector<std::int64_t> indices(n_probes * k);
  const NeighborsTask probe{
      data, data, centre, k, Own{}, 0, n_probes, n_probes, last, distances.data(), indices.data()};
  const auto n_scored = static_cast<double>(FASTGAN_DISPATCH(neighbors_task_float32)(probe));
  const auto n_pairs = static_cast<double>(n_probes * (last - n_probes));
  const auto n_wanted = static_cast<double>(n_probes * k);
  return n_scored - n_wanted <= kMostScored * n_pairs;
}

// The k smallest of the segments' answers, each ascending; segments hold ascending rows.
void merge(const std::vector<double>& distances, const std::vector<std::int64_t>& indices,
           std::size_t n_segments, std::size_t n_queries, std::size_t query, std::size_t k,
           double* best_distances, std::int64_t* best_indices) {
  std::vector<std::pair<double, std::int64_t>> all;
  all.reserve(n_segments * k);
  for (std::size_t segment = 0; segment < n_segments; ++segment) {
    const std::size_t at = (segment * n_queries + query) * k;
    for (std::size_t j = 0; j < k && indices[at + j] >= 0; ++j) {
      all.emplace_back(distances[at + j], indices[at + j]);
    }
  }
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(k), all.end());
  for (std::size_t j = 0; j < k; ++j) {
    best_distances[j] = all[j].first;
    best_indices[j] = all[j].second;
  }
}

}  // namespace

void nearest_neighbors(const Points& queries, const Points& data, std::size_t k, bool exclude_self,
                       std::size_t n_threads, double* squared_distances, std::int64_t* indices) {
  const std::vector<double> centre = centre_of(data, n_threads);
  const auto run = float32_decides(data, centre.data(), k)
                       ? FASTGAN_DISPATCH(neighbors_task_float32)
                       : FASTGAN_DISPATCH(neighbors_task_float64);
  const std::size_t n_queries = queries.n_rows;
  const std::size_t per_thread = (n_queries + n_threads - 1) / n_threads;
  const std::size_t n_in_task = std::clamp<std::size_t>(per_thread, 12, kQueriesInTask);
  const std::size_t n_ranges = (n_queries + n_in_task - 1) / n_in_task;
  // Few queries against many rows: the rows are shared out too.
  const std::size_t most_segments = (data.n_rows + kRowsInSegment - 1) / kRowsInSegment;
  const std::size_t n_segments = n_ranges >= n_threads ? 1 : std::min(most_segments, 4 * n_threads);
  const auto run_range = [&](std::size_t range, std::size_t segment, double* d, std::int64_t* i) {
    const std::size_t first = range * n_in_task;
    run({queries, data, centre.data(), k, Own{exclude_self}, first,
         std::min(n_queries, first + n_in_task), data.n_rows * segment / n_segments,
         data.n_rows * (segment + 1) / n_segments, d + first * k, i + first * k});
  };
  if (n_segments == 1) {
    parallel_for(n_ranges, n_threads,
                 [&](std::size_t range) { run_range(range, 0, squared_distances, indices); });
    return;
  }
  std::vector<double> part_distances(n_segments * n_queries * k);
  std::vector<std::int64_t> part_indices(n_segments * n_queries * k);
  parallel_for(n_ranges * n_segments, n_threads, [&](std::size_t index) {
    const std::size_t segment = index / n_ranges;
    run_range(index % n_ranges, segment, &part_distances[segment * n_queries * k],
              &part_indices[segment * n_queries * k]);
  });
  for (std::size_t query = 0; query < n_queries; ++query) {
    merge(part_distances, part_indices, n_segments, n_queries, query, k,
          squared_distances + query * k, indices + query * k);
  }
}

void count_within(const Points& queries, const Points& data, const double* squared_radii, Own own,
                  std::size_t n_threads, std::int64_t* per_query, std::int64_t* per_row) {
  const std::vector<double> centre = centre_of(data, n_threads);
  const std::size_t n_ranges = (queries.n_rows + kQueriesInTask - 1) / kQueriesInTask;
  std::mutex mutex;
  parallel_for(n_ranges, n_threads, [&](std::size_t range) {
    std::vector<std::int64_t> counts(data.n_rows, 0);
    const std::size_t first = range * kQueriesInTask;
    FASTGAN_DISPATCH(count_task)
    ({queries, data, centre.data(), squared_radii, own, first,
      std::min(queries.n_rows, first + kQueriesInTask), per_query, counts.data()});
    const std::lock_guard lock(mutex);
    for (std::size_t row = 0; row < data.n_rows; ++row) per_row[row] += counts[row];
  });
}

}  // namespace fastgan
