// The questions that an index answers, shared out over threads by ranges of queries.
#pragma once

#include <vector>

#include "index/sketches.h"

namespace fastgan {

// squared_distances and indices (n_queries, k), ascending, hold the answer so far (an index of -1
// is no answer) and are carried on; first_index is the number of the data's first row.
Survivors index_nearest_neighbors(const SketchSet& queries, const SketchSet& data, std::size_t k,
                                  Own own, std::int64_t first_index, std::size_t n_threads,
                                  double* squared_distances, std::int64_t* indices);

// Adds up, for each query and each row, the pairs whose squared distance, rounded once, is at most
// the query's squared radius.
Survivors index_count_within(const SketchSet& queries, const SketchSet& data,
                             const double* squared_radii, Own own, std::size_t n_threads,
                             std::int64_t* per_query, std::int64_t* per_row);

// log_sums and log_dropped (n_blocks, n_sigmas, n_queries), n_blocks = ceil(n_samples /
// block_size); least (n_queries) bounds each query's smallest squared distance from above,
// least_met (n_blocks, n_queries) is the smaller of that and what the block holds.
Survivors index_parzen_log_sums(const SketchSet& queries, const SketchSet& samples,
                                const double* sigmas, std::size_t n_sigmas, double cut,
                                const double* least, std::size_t block_size, Own own,
                                std::size_t n_threads, double* log_sums, double* log_dropped,
                                double* least_met);

// The shares of pairs that the sketches leave when rows of the points, as queries, ask others: for
// their nearest one, and for all within `width` (a squared distance) past it.
struct Shares {
  double coarse = 1.0, fine = 1.0;
};
Shares probe_index(const std::shared_ptr<const Frame>& frame, const Points& points, double width,
                   std::size_t n_threads);

}  // namespace fastgan
