// Exact k nearest neighbours by squared Euclidean distance, streamed over tiles.
//
// Float32 products bound every pair; only pairs whose lower bound does not exceed the k-th best
// upper bound so far are scored on the inputs as given. What is returned is the real number
// sum (x - y)^2 rounded once to float64; equal numbers are ordered by the smaller index.
#pragma once

#include <cstddef>
#include <cstdint>

#include "distances/points.h"
#include "simd/dispatch.h"

namespace fastgan {

struct NeighborsTask {
  Points queries, data;
  const double* centre;  // (n_features)
  std::size_t k;
  bool exclude_self;  // pair (i, i) does not count
  std::size_t first_query, last_query;
  std::size_t first_row, last_row;
  // (last_query - first_query, k), ascending; past the number of rows: infinity and -1.
  double* squared_distances;
  std::int64_t* indices;
};

// Return how many pairs were scored exactly.
FASTGAN_DECLARE_KERNEL(std::size_t, neighbors_task_float32, (const NeighborsTask& task))
FASTGAN_DECLARE_KERNEL(std::size_t, neighbors_task_float64, (const NeighborsTask& task))

// squared_distances and indices: (n_queries, k), ascending. 1 <= k <= n_rows - exclude_self.
void nearest_neighbors(const Points& queries, const Points& data, std::size_t k, bool exclude_self,
                       std::size_t n_threads, double* squared_distances, std::int64_t* indices);

}  // namespace fastgan
