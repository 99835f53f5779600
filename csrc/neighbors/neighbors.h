// Exact k nearest neighbours by squared Euclidean distance, streamed over tiles.
//
// Float32 products bound every pair; only pairs whose lower bound does not exceed the k-th best
// upper bound so far are scored on the inputs as given. What is returned is the real number
// sum (x - y)^2 rounded once to float64; equal numbers are ordered by the smaller index.
#pragma once

#include <cstddef>
#include <cstdint>

#include "distances/points.h"
#include "index/survivors.h"
#include "simd/dispatch.h"

namespace fastgan {

struct NeighborsTask {
  Points queries, data;
  const double* centre;  // (n_features)
  std::size_t k;
  Own own;
  std::size_t first_query, last_query;
  std::size_t first_row, last_row;
  // (last_query - first_query, k), ascending; past the number of rows: infinity and -1.
  double* squared_distances;
  std::int64_t* indices;
};

// Return how many pairs were scored exactly.
FASTGAN_DECLARE_KERNEL(std::size_t, neighbors_task_float32, (const NeighborsTask& task))
FASTGAN_DECLARE_KERNEL(std::size_t, neighbors_task_float64, (const NeighborsTask& task))

// Adds the pairs whose squared distance, rounded once, is at most the query's squared radius.
struct CountTask {
  Points queries, data;
  const double* centre;         // (n_features)
  const double* squared_radii;  // (n_queries)
  Own own;
  std::size_t first_query, last_query;
  std::int64_t* per_query;  // (n_queries)
  std::int64_t* per_row;    // (n_rows)
};

FASTGAN_DECLARE_KERNEL(void, count_task, (const CountTask& task))

// The same through an index. The answer so far is read and carried on, so that data may come block
// by block: first_index is the number of the data's first row among all.
struct IndexNeighborsTask {
  IndexScan scan;
  Points queries, data;
  std::size_t k;
  std::int64_t first_index;
  std::size_t first_query, last_query;
  std::size_t first_row, last_row;
  double* squared_distances;  // of first_query and on
  std::int64_t* indices;
};

FASTGAN_DECLARE_KERNEL(Survivors, index_neighbors_task, (const IndexNeighborsTask& task))

struct IndexCountTask {
  IndexScan scan;
  Points queries, data;
  const double* squared_radii;  // (n_queries)
  std::size_t first_query, last_query;
  std::int64_t* per_query;  // (n_queries)
  std::int64_t* per_row;    // (n_rows)
};

FASTGAN_DECLARE_KERNEL(Survivors, index_count_task, (const IndexCountTask& task))

// squared_distances and indices: (n_queries, k), ascending. 1 <= k <= n_rows - exclude_self.
void nearest_neighbors(const Points& queries, const Points& data, std::size_t k, bool exclude_self,
                       std::size_t n_threads, double* squared_distances, std::int64_t* indices);

// per_query (n_queries) and per_row (n_rows) are added to.
void count_within(const Points& queries, const Points& data, const double* squared_radii, Own own,
                  std::size_t n_threads, std::int64_t* per_query, std::int64_t* per_row);

}  // namespace fastgan
