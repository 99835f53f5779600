#include <vector>

#include "index/scan.h"
#include "neighbors/best.h"
#include "neighbors/neighbors.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class In>
class Search {
 public:
  static constexpr bool kTightens = true;

  explicit Search(const IndexNeighborsTask& task)
      : task_(task),
        best_(task.last_query - task.first_query, Best(task.k)),
        seeds_(best_.size(), std::numeric_limits<double>::infinity()) {
    for (std::size_t q = 0; q < best_.size(); ++q) {
      best_[q].read(task.squared_distances + q * task.k, task.indices + q * task.k);
    }
  }

  double threshold(std::size_t query) const {
    const std::size_t q = query - task_.first_query;
    if (best_[q].is_settled()) return kNothing;
    return most_rounded_to(std::min(best_[q].bound(), seeds_[q]), task_.queries.n_features);
  }

  // The k-th smallest distance of a few rows of best scores bounds the k-th smallest of all.
  void seed(std::size_t query, TileRange tile, float* scores) {
    constexpr float kLast = -std::numeric_limits<float>::infinity();
    const std::size_t own = task_.scan.own.place(query, tile.first, tile.size());
    if (own < tile.size()) scores[own] = kLast;
    const std::size_t n_rows = tile.size() - (own < tile.size());
    if (task_.k > n_rows) return;
    squared_.clear();
    for (std::size_t j = 0; j < std::min(n_rows, task_.k + kMoreSeeds); ++j) {
      const std::size_t at = largest_of(scores, tile.size());
      scores[at] = kLast;
      squared_.push_back(squared_distance(
          row(task_.queries, query), row(task_.data, tile.first + at), task_.queries.n_features));
    }
    const auto kth = squared_.begin() + static_cast<std::ptrdiff_t>(task_.k - 1);
    std::nth_element(squared_.begin(), kth, squared_.end());
    const double error = squared_distance_relative_error(task_.queries.n_features);
    seeds_[query - task_.first_query] =
        *kth * (1.0 + 2.0 * error) + squared_distance_underflow(task_.queries.n_features);
  }

  void expect(std::size_t at) const {
    prefetch(row(task_.data, at), task_.data.n_features * sizeof(In));
  }
  void visit(std::size_t query, std::size_t at) {
    Best& best = best_[query - task_.first_query];
    const double squared = squared_distance_within(row(task_.queries, query), row(task_.data, at),
                                                   task_.queries.n_features, best.bound());
    best.offer(squared, task_.first_index + static_cast<std::int64_t>(at));
  }

  void write() {
    for (std::size_t q = 0; q < best_.size(); ++q) {
      best_[q].write(task_.squared_distances + q * task_.k, task_.indices + q * task_.k);
    }
  }

 private:
  static constexpr std::size_t kMoreSeeds = 3;

  static const In* row(const Points& points, std::size_t index) { return points.row<In>(index); }

  static std::size_t largest_of(const float* scores, std::size_t n) {
    using V = Vector<float>;
    const std::size_t whole = n / V::width * V::width;
    V most = V::broadcast(-std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < whole; i += V::width) most = maximum(most, V::load(scores + i));
    float lanes[V::width];
    most.store(lanes);
    float largest = *std::max_element(lanes, lanes + V::width);
    for (std::size_t i = whole; i < n; ++i) largest = std::max(largest, scores[i]);
    const V bound = V::broadcast(largest);
    std::size_t at = 0;
    while (at < whole && less_equal(bound, V::load(scores + at)) == 0) at += V::width;
    while (scores[at] < largest) ++at;
    return at;
  }

  const IndexNeighborsTask& task_;
  std::vector<Best> best_;
  std::vector<double> seeds_;
  std::vector<double> squared_;
};

// Counts pairs within each query's own radius.
template <class In>
class Count {
 public:
  static constexpr bool kTightens = true;

  explicit Count(const IndexCountTask& task) : task_(task) {}

  double threshold(std::size_t query) const {
    const double radius = task_.squared_radii[query];
    return radius < 0.0 ? kNothing : most_rounded_to(radius, task_.queries.n_features);
  }
  void seed(std::size_t, TileRange, float*) {}
  void expect(std::size_t row) const {
    prefetch(task_.data.row<In>(row), task_.data.n_features * sizeof(In));
  }
  void visit(std::size_t query, std::size_t row) {
    const double radius = task_.squared_radii[query];
    const double squared = squared_distance_within(
        task_.queries.row<In>(query), task_.data.row<In>(row), task_.queries.n_features, radius);
    if (squared > radius) return;
    ++task_.per_query[query];
    ++task_.per_row[row];
  }

 private:
  const IndexCountTask& task_;
};

}  // namespace

Survivors index_neighbors_task(const IndexNeighborsTask& task) {
  return with_scalar(task.data.scalar, [&]<class In>() {
    Search<In> search(task);
    const Survivors survivors =
        Scan(task.scan, search)
            .run(task.first_query, task.last_query, task.first_row, task.last_row);
    search.write();
    return survivors;
  });
}

Survivors index_count_task(const IndexCountTask& task) {
  return with_scalar(task.data.scalar, [&]<class In>() {
    Count<In> count(task);
    return Scan(task.scan, count).run(task.first_query, task.last_query, 0, task.data.n_rows);
  });
}

}  // namespace fastgan::FASTGAN_LEVEL
