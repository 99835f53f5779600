#include "index/passes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "common/thread_pool.h"
#include "neighbors/neighbors.h"
#include "parzen/parzen.h"

namespace fastgan {
namespace {

constexpr std::size_t kLeastQueries = 96, kMostQueries = 1008;  // in a task: multiples of a strip
constexpr std::size_t kProbeQueries = 12, kProbeRows = 2048;

struct Ranges {
  std::size_t size, count, n;
  Ranges(std::size_t n_queries, std::size_t n_threads)
      : size(std::clamp(n_queries / (8 * std::max<std::size_t>(n_threads, 1)) / 12 * 12,
                        kLeastQueries, kMostQueries)),
        count((n_queries + size - 1) / size),
        n(n_queries) {}
  std::size_t first(std::size_t range) const { return range * size; }
  std::size_t last(std::size_t range) const { return std::min(n, (range + 1) * size); }
};

class Total {
 public:
  void add(Survivors part) {
    const std::lock_guard lock(mutex_);
    survivors_.coarse += part.coarse;
    survivors_.fine += part.fine;
  }
  Survivors get() const { return survivors_; }

 private:
  std::mutex mutex_;
  Survivors survivors_;
};

}  // namespace

Survivors index_nearest_neighbors(const SketchSet& queries, const SketchSet& data, std::size_t k,
                                  Own own, std::int64_t first_index, std::size_t n_threads,
                                  double* squared_distances, std::int64_t* indices) {
  const IndexScan scan = index_scan(queries, data, own);
  const Ranges ranges(queries.points().n_rows, n_threads);
  Total total;
  parallel_for(ranges.count, n_threads, [&](std::size_t range) {
    const std::size_t first = ranges.first(range);
    total.add(FASTGAN_DISPATCH(index_neighbors_task)(
        {scan, queries.points(), data.points(), k, first_index, first, ranges.last(range), 0,
         data.points().n_rows, squared_distances + first * k, indices + first * k}));
  });
  return total.get();
}

Survivors index_count_within(const SketchSet& queries, const SketchSet& data,
                             const double* squared_radii, Own own, std::size_t n_threads,
                             std::int64_t* per_query, std::int64_t* per_row) {
  const IndexScan scan = index_scan(queries, data, own);
  const Ranges ranges(queries.points().n_rows, n_threads);
  const std::size_t n_rows = data.points().n_rows;
  Total total;
  std::mutex mutex;
  parallel_for(ranges.count, n_threads, [&](std::size_t range) {
    std::vector<std::int64_t> counts(n_rows, 0);
    total.add(FASTGAN_DISPATCH(index_count_task)({scan, queries.points(), data.points(),
                                                  squared_radii, ranges.first(range),
                                                  ranges.last(range), per_query, counts.data()}));
    const std::lock_guard lock(mutex);
    for (std::size_t row = 0; row < n_rows; ++row) per_row[row] += counts[row];
  });
  return total.get();
}

Survivors index_parzen_log_sums(const SketchSet& queries, const SketchSet& samples,
                                const double* sigmas, std::size_t n_sigmas, double cut,
                                const double* least, std::size_t block_size, Own own,
                                std::size_t n_threads, double* log_sums, double* log_dropped,
                                double* least_met) {
  const IndexScan scan = index_scan(queries, samples, own);
  const std::size_t n_queries = queries.points().n_rows, n_samples = samples.points().n_rows;
  const Ranges ranges(n_queries, n_threads);
  const std::size_t n_blocks = (n_samples + block_size - 1) / block_size;
  Total total;
  parallel_for(n_blocks * ranges.count, n_threads, [&](std::size_t index) {
    const std::size_t block = index / ranges.count, range = index % ranges.count;
    const std::size_t first = ranges.first(range);
    const std::size_t to = block * n_sigmas * n_queries + first;
    total.add(FASTGAN_DISPATCH(index_parzen_task)(
        {scan, queries.points(), samples.points(), sigmas, n_sigmas, cut, least, first,
         ranges.last(range), block * block_size, std::min(n_samples, (block + 1) * block_size),
         log_sums + to, log_dropped + to, n_queries, least_met + block * n_queries + first}));
  });
  return total.get();
}

Shares probe_index(const std::shared_ptr<const Frame>& frame, const Points& points, double width,
                   std::size_t n_threads) {
  const GatheredRows rows(points, kProbeRows);
  if (rows.points.n_rows < 4 * kProbeQueries) return {};
  // Rows at equal distances stand for the queries, the others for the samples.
  const GatheredRows asking(rows.points, kProbeQueries);
  const SketchSet queries(frame, asking.points, Role::queries, n_threads);
  const SketchSet samples(frame, rows.points, Role::samples, n_threads);
  // Each asking row is among the others: it is its own nearest, so the second nearest counts.
  std::vector<double> distances(2 * kProbeQueries, std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> indices(2 * kProbeQueries, -1);
  Survivors left = index_nearest_neighbors(queries, samples, 2, Own{}, 0, n_threads,
                                           distances.data(), indices.data());
  if (width > 0.0) {
    std::vector<double> radii(kProbeQueries);
    for (std::size_t i = 0; i < kProbeQueries; ++i) radii[i] = distances[2 * i + 1] + width;
    std::vector<std::int64_t> per_query(kProbeQueries, 0), per_row(rows.points.n_rows, 0);
    left = index_count_within(queries, samples, radii.data(), Own{}, n_threads, per_query.data(),
                              per_row.data());
  }
  const double n_pairs = static_cast<double>(kProbeQueries * rows.points.n_rows);
  return {static_cast<double>(left.coarse) / n_pairs, static_cast<double>(left.fine) / n_pairs};
}

}  // namespace fastgan
