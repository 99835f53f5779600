#include "neighbors/neighbors.h"

#include <utility>
#include <vector>

#include "distances/exact.h"
#include "distances/tile.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

// The k smallest (squared distance, row) pairs so far, as a heap with the largest on top; pairs are
// compared by distance, then by row.
class Best {
 public:
  using Entry = std::pair<double, std::int64_t>;

  explicit Best(std::size_t k) : k_(k) { entries_.reserve(k); }

  bool is_full() const { return entries_.size() == k_; }
  // What a newcomer must not exceed.
  double bound() const {
    return is_full() ? entries_.front().first : std::numeric_limits<double>::infinity();
  }
  void offer(double squared_distance, std::int64_t row) {
    const Entry entry{squared_distance, row};
    if (!is_full()) {
      entries_.push_back(entry);
      std::push_heap(entries_.begin(), entries_.end());
    } else if (entry < entries_.front()) {
      std::pop_heap(entries_.begin(), entries_.end());
      entries_.back() = entry;
      std::push_heap(entries_.begin(), entries_.end());
    }
  }
  const std::vector<Entry>& sorted() {
    std::sort(entries_.begin(), entries_.end());
    return entries_;
  }

 private:
  std::size_t k_;
  std::vector<Entry> entries_;
};

template <class T, class In>
class Engine {
 public:
  explicit Engine(const NeighborsTask& task)
      : task_(task),
        n_features_(task.queries.n_features),
        relative_error_(squared_distance_relative_error(n_features_)) {}

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
      const std::vector<Best::Entry>& entries = best[q].sorted();
      for (std::size_t j = 0; j < task_.k; ++j) {
        const bool found = j < entries.size();
        task_.squared_distances[q * task_.k + j] =
            found ? entries[j].first : std::numeric_limits<double>::infinity();
        task_.indices[q * task_.k + j] = found ? entries[j].second : -1;
      }
    }
    return n_scored_;
  }

 private:
  void visit_row(T* distances, const SampleTile<T, In>& tile, std::size_t first_row,
                 std::size_t query_row, double allowance, Best& best) {
    const In* query = task_.queries.row<In>(query_row);
    const bool has_self =
        task_.exclude_self && query_row >= first_row && query_row < first_row + tile.n_samples();
    const std::size_t self = has_self ? query_row - first_row : tile.capacity();
    if (!(allowance < std::numeric_limits<T>::max())) {
      for (std::size_t column = 0; column < tile.n_samples(); ++column) {
        if (column != self) score(query, first_row + column, best);
      }
      return;
    }
    if (has_self) distances[self] = std::numeric_limits<T>::infinity();
    // The k-th smallest true distance is at most the k-th smallest of any k upper bounds.
    double upper = best.bound();
    if (task_.k == 1 || !best.is_full()) {
      upper = std::min(upper, kth_smallest(distances, tile) + allowance);
    }
    const double limit = upper + allowance;
    for_each_within(distances, tile.n_columns(), round_up<T>(limit), [&](std::size_t column) {
      if (column >= tile.n_samples() || column == self) return;
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
    const In* other = task_.data.row<In>(row);
    const double plain = squared_distance(query, other, n_features_);
    if (plain * (1.0 - relative_error_) > best.bound()) return;
    best.offer(squared_distance_rounded_once(query, other, n_features_),
               static_cast<std::int64_t>(row));
  }

  const NeighborsTask& task_;
  std::size_t n_features_;
  double relative_error_;
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
