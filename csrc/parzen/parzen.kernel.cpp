#include "parzen/parzen.h"

#include <vector>

#include "distances/exact.h"
#include "distances/tile.h"
#include "simd/vector_math.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

// The running sums of one query over the tiles of one block, all relative to one reference distance
// (a lower bound of every distance met so far, or its approximation), so that one minimum serves
// the whole grid of sigmas.
struct Sums {
  double reference = std::numeric_limits<double>::infinity();
  double* values = nullptr;  // (n_sigmas)

  void lower_reference(double to, const std::vector<double>& inverse) {
    if (!(to < reference)) return;
    for (std::size_t j = 0; j < inverse.size(); ++j) {
      values[j] *= reference < std::numeric_limits<double>::infinity()
                       ? std::exp((to - reference) * inverse[j])
                       : 0.0;
    }
    reference = to;
  }
};

template <class T, class In>
class Engine {
 public:
  explicit Engine(const ParzenTask& task)
      : task_(task),
        n_features_(task.queries.n_features),
        log_n_(std::log(static_cast<double>(task.n_samples))),
        inverse_(task.n_sigmas) {
    for (std::size_t j = 0; j < task.n_sigmas; ++j) {
      inverse_[j] = 0.5 / (task.sigmas[j] * task.sigmas[j]);
    }
  }

  std::size_t run() {
    const std::size_t n_queries = task_.last_query - task_.first_query;
    std::vector<double> values(n_queries * inverse_.size(), 0.0);
    std::vector<Sums> sums(n_queries);
    for (std::size_t q = 0; q < n_queries; ++q) sums[q].values = &values[q * inverse_.size()];
    scan<T, In>(task_.queries, {task_.first_query, task_.last_query}, task_.samples,
                {task_.first_sample, task_.last_sample}, task_.centre,
                [&](std::size_t query, T* distances, const SampleTile<T, In>& tile,
                    std::size_t first, double allowance) {
                  add_row(distances, tile, first, query, allowance,
                          sums[query - task_.first_query]);
                });
    for (std::size_t q = 0; q < n_queries; ++q) {
      for (std::size_t j = 0; j < inverse_.size(); ++j) {
        // No finite distance at all: every term is exp(-infinity).
        task_.log_sums[j * task_.sigma_stride + q] =
            sums[q].values[j] > 0.0 ? std::log(sums[q].values[j]) - sums[q].reference * inverse_[j]
                                    : -std::numeric_limits<double>::infinity();
      }
    }
    return n_rescored_;
  }

 private:
  // How far above the smallest distance a pair can lie and still need its float64 distance: its
  // share is at most exp(-gap / (2 sigma^2)), rounding can move it by a factor exp(a) with
  // a = A / (2 sigma^2), and n_samples such terms may move the sum by the budget at most. Negative
  // infinity where a alone is within the budget for every sigma.
  double rescoring_gap(double allowance) const {
    double gap = -std::numeric_limits<double>::infinity();
    for (const double inverse : inverse_) {
      const double a = allowance * inverse;
      if (a <= kParzenBudgetNats) continue;
      const double log_factor = a < 30.0 ? std::log(std::expm1(a)) : a;
      gap = std::max(gap, (log_n_ + log_factor - std::log(kParzenBudgetNats)) / inverse);
    }
    return gap;
  }

  void add_row(T* distances, const SampleTile<T, In>& tile, std::size_t first_sample,
               std::size_t query_row, double allowance, Sums& sums) {
    constexpr T kGone = std::numeric_limits<T>::infinity();
    const In* query = task_.queries.row<In>(query_row);
    const std::size_t n_columns = tile.n_columns();
    const std::size_t own = task_.own.place(query_row, first_sample, tile.n_samples());
    if (own < tile.n_samples()) distances[own] = kGone;
    candidates_.clear();
    if (!(allowance < std::numeric_limits<T>::max())) {
      for (std::size_t column = 0; column < tile.n_samples(); ++column) {
        if (column != own) candidates_.push_back(column);
      }
    } else {
      const double least = std::min<double>(smallest(distances, n_columns), sums.reference);
      const double limit = least + 2.0 * allowance + rescoring_gap(allowance);
      if (limit >= least) {
        for_each_within(distances, n_columns, round_up<T>(limit), [&](std::size_t column) {
          if (column < tile.n_samples() && column != own) candidates_.push_back(column);
        });
      }
    }
    n_rescored_ += candidates_.size();
    exact_.clear();
    double least_exact = std::numeric_limits<double>::infinity();
    for (const std::size_t column : candidates_) {
      const double d2 =
          squared_distance(query, task_.samples.row<In>(first_sample + column), n_features_);
      distances[column] = kGone;
      least_exact = std::min(least_exact, d2);
      exact_.push_back(d2);
    }
    const T least_rest = smallest(distances, n_columns);
    sums.lower_reference(std::min(least_exact, static_cast<double>(least_rest)), inverse_);
    if (!(sums.reference < std::numeric_limits<double>::infinity())) return;
    for (const double d2 : exact_) {
      for (std::size_t j = 0; j < inverse_.size(); ++j) {
        sums.values[j] += std::exp((sums.reference - d2) * inverse_[j]);
      }
    }
    // A number of T, so that subtracting it rounds only once. It is below the reference by less
    // than a third of the allowance: where that is many nats, nothing of the rest is within the
    // cut.
    const double zero_point = round_down(sums.reference);
    for (std::size_t j = 0; j < inverse_.size(); ++j) {
      // Terms below 2^-60 of the sum, all n_samples of them together, are below float64's rounding.
      const double cut = (42.0 + log_n_) / inverse_[j];
      if (static_cast<double>(least_rest) - sums.reference > cut) continue;
      sums.values[j] +=
          std::exp((sums.reference - zero_point) * inverse_[j]) *
          sum_of_exponentials(distances, n_columns, static_cast<T>(zero_point),
                              static_cast<T>(inverse_[j]), round_up<T>(sums.reference + cut));
    }
  }

  static double sum_of_exponentials(const T* distances, std::size_t n_columns, T reference,
                                    T inverse, T limit) {
    using V = Vector<T>;
    const V zero_point = V::broadcast(reference);
    const V scale = V::broadcast(inverse);
    const V bound = V::broadcast(limit);
    V sum = V::broadcast(T{0});
    for (std::size_t column = 0; column < n_columns; column += V::width) {
      const V d2 = V::load(distances + column);
      if (less_equal(d2, bound) == 0) continue;
      // A distance that was taken out, or is padding, is infinite: exp gives at most 2^-125.
      sum = sum + exp_nonpositive((zero_point - d2) * scale);
    }
    return static_cast<double>(reduce_add(sum));
  }

  static double round_down(double value) {
    if (!(value <= static_cast<double>(std::numeric_limits<T>::max()))) return value;
    const T rounded = static_cast<T>(value);
    return static_cast<double>(rounded) > value ? std::nextafter(rounded, T{0}) : rounded;
  }

  const ParzenTask& task_;
  std::size_t n_features_;
  double log_n_;
  std::vector<double> inverse_;  // 1 / (2 sigma^2)
  std::vector<std::size_t> candidates_;
  std::vector<double> exact_;
  std::size_t n_rescored_ = 0;
};

template <class T>
std::size_t run_task(const ParzenTask& task) {
  return with_scalar(task.samples.scalar, [&]<class In>() { return Engine<T, In>(task).run(); });
}

}  // namespace

std::size_t parzen_task_float32(const ParzenTask& task) { return run_task<float>(task); }
std::size_t parzen_task_float64(const ParzenTask& task) { return run_task<double>(task); }

}  // namespace fastgan::FASTGAN_LEVEL
