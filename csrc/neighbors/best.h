// The k nearest rows of one query so far.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "distances/exact.h"

namespace fastgan::FASTGAN_LEVEL {

// The k smallest (squared distance, row) pairs, as a heap with the largest on top; pairs are
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
  // Whether no later row can get in: ties go to the smaller row, and rows come in order.
  bool is_settled() const { return is_full() && entries_.front().first == 0.0; }
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
  // Takes back what write() wrote.
  void read(const double* squared_distances, const std::int64_t* rows) {
    for (std::size_t j = 0; j < k_ && rows[j] >= 0; ++j) offer(squared_distances[j], rows[j]);
  }
  // (k), ascending; past the number of rows: infinity and -1.
  void write(double* squared_distances, std::int64_t* rows) {
    std::sort(entries_.begin(), entries_.end());
    for (std::size_t j = 0; j < k_; ++j) {
      const bool found = j < entries_.size();
      squared_distances[j] = found ? entries_[j].first : std::numeric_limits<double>::infinity();
      rows[j] = found ? entries_[j].second : -1;
    }
  }

 private:
  std::size_t k_;
  std::vector<Entry> entries_;
};

// No squared distance above it is `rounded` or less once it is rounded.
inline double most_rounded_to(double rounded, std::size_t n_features) {
  return rounded * (1.0 + 0x1p-51) + squared_distance_underflow(n_features);
}

// The squared distance rounded once, if it does not exceed `bound`; else some number above it. The
// plain float64 sum, which costs a fifth, tells most pairs.
template <class In>
double squared_distance_within(const In* x, const In* y, std::size_t n_features, double bound) {
  const double plain = squared_distance(x, y, n_features);
  const double error = squared_distance_relative_error(n_features);
  if (plain * (1.0 - error) > bound + squared_distance_underflow(n_features)) {
    return std::numeric_limits<double>::infinity();
  }
  return squared_distance_rounded_once(x, y, n_features);
}

}  // namespace fastgan::FASTGAN_LEVEL
