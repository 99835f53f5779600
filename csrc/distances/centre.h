// The point that distance kernels subtract from everything: the mean of the first rows.
#pragma once

#include <vector>

#include "distances/points.h"

namespace fastgan {

// float64 mean of at most the first 65,536 rows, summed in fixed groups of rows in a fixed order:
// a function of the data alone, whatever the number of threads.
std::vector<double> centre_of(const Points& points, std::size_t n_threads);

}  // namespace fastgan
