#include "distances/centre.h"

#include <algorithm>

#include "common/thread_pool.h"

namespace fastgan {

std::vector<double> centre_of(const Points& points, std::size_t n_threads) {
  constexpr std::size_t kRows = 65536, kGroup = 1024;
  const std::size_t n_rows = std::min(points.n_rows, kRows);
  const std::size_t d = points.n_features;
  const std::size_t n_groups = (n_rows + kGroup - 1) / kGroup;
  std::vector<double> sums(n_groups * d, 0.0);
  parallel_for(n_groups, n_threads, [&](std::size_t group) {
    double* sum = &sums[group * d];
    with_scalar(points.scalar, [&]<class In>() {
      for (std::size_t i = group * kGroup; i < std::min(n_rows, (group + 1) * kGroup); ++i) {
        const In* row = points.row<In>(i);
        for (std::size_t feature = 0; feature < d; ++feature) {
          sum[feature] += static_cast<double>(row[feature]) / static_cast<double>(n_rows);
        }
      }
    });
  });
  for (std::size_t group = 1; group < n_groups; ++group) {
    for (std::size_t feature = 0; feature < d; ++feature) {
      sums[feature] += sums[group * d + feature];
    }
  }
  sums.resize(d);
  return sums;
}

}  // namespace fastgan
