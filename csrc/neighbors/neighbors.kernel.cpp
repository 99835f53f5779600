#include "neighbors/neighbors.h"

#include <vector>

#include "distances/tile.h"
#include "neighbors/best.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class T, class In>
class Engine {
 public:
  explicit Engine(const NeighborsTask& task) : task_(task), n_features_(task.queries.n_features) {}

  std::size_t run() {
    const std::size_t n_queries = task_.last_query - task_.first_query;
    std::vector<Best> best(n_queries, Best(task_.k));
    scan<T, In>(task_.queries, {task_.first_query, task_.last_query}, task_.data,
                {task_.first_row, task_.last_row}, task_.centre,
                [&](std::size_t query, T* distances, const SampleTile<T, In>& tile,
                    std::size_t first, double allowance) {
                  visit_row(distances, tile, first, query, allowance,
                            best[query - task_.first_query]);
                });
    for (std::size_t q = 0; q < n_queries; ++q) {
      best[q].write(task_.squared_distances + q * task_.k, task_.indices + q * task_.k);
    }
    return n_scored_;
  }

 private:
  void visit_row(T* distances, const SampleTile<T, In>& tile, std::size_t first_row,
                 std::size_t query_row, double allowance, Best& best) {
    if (best.is_settled()) return;
    const In* query = task_.queries.row<In>(query_row);
    const std::size_t own = task_.own.place(query_row, first_row, tile.n_samples());
    if (!(allowance < std::numeric_limits<T>::max())) {
      for (std::size_t column = 0; column < tile.n_samples(); ++column) {
        if (column != own) score(query, first_row + column, best);
      }
      return;
    }
    if (own < tile.n_samples()) distances[own] = std::numeric_limits<T>::infinity();
    // The k-th smallest true distance is at most the k-th smallest of any k upper bounds.
    double upper = best.bound();
    if (task_.k == 1 || !best.is_full()) {
      upper = std::min(upper, kth_smallest(distances, tile) + allowance);
    }
    const double limit = upper + allowance;
    for_each_within(distances, tile.n_columns(), round_up<T>(limit), [&](std::size_t column) {
      if (column >= tile.n_samples() || column == own || best.is_settled()) return;
      if (static_cast<double>(distances[column]) - allowance > best.bound()) return;
      score(query, first_row + column, best);
    });
  }

  double kth_smallest(const T* distances, const SampleTile<T, In>& tile) {
    if (task_.k == 1) return static_cast<double>(smallest(distances, tile.n_columns()));
    if (task_.k > tile.n_samples()) return std::numeric_limits<double>::infinity();
    scratch_.assign(distances, distances + tile.n_samples());
    std::nth_element(scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(task_.k - 1),
                     scratch_.end());
    return static_cast<double>(scratch_[task_.k - 1]);
  }

  void score(const In* query, std::size_t row, Best& best) {
    ++n_scored_;
    const double squared =
        squared_distance_within(query, task_.data.row<In>(row), n_features_, best.bound());
    best.offer(squared, static_cast<std::int64_t>(row));
  }

  const NeighborsTask& task_;
  std::size_t n_features_;
  std::vector<T> scratch_;
  std::size_t n_scored_ = 0;
};

template <class T>
std::size_t run_task(const NeighborsTask& task) {
  return with_scalar(task.data.scalar, [&]<class In>() { return Engine<T, In>(task).run(); });
}

}  // namespace

std::size_t neighbors_task_float32(const NeighborsTask& task) { return run_task<float>(task); }
std::size_t neighbors_task_float64(const NeighborsTask& task) { return run_task<double>(task); }

}  // namespace fastgan::FASTGAN_LEVEL
