// The tiles' squared distances and the bound of their error, laid open so that tests can hold one
// against the other.
#pragma once

#include "distances/points.h"
#include "simd/dispatch.h"

namespace fastgan {

struct ApproximateDistances {
  Points queries, samples;
  const double* centre;       // (n_features)
  double* squared_distances;  // (n_queries, n_samples)
  double* allowances;         // (n_queries, n_samples)
};

FASTGAN_DECLARE_KERNEL(void, approximate_distances_float32, (const ApproximateDistances& task))
FASTGAN_DECLARE_KERNEL(void, approximate_distances_float64, (const ApproximateDistances& task))

}  // namespace fastgan
