#include <vector>

#include "distances/exact.h"
#include "index/scan.h"
#include "parzen/parzen.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class In>
class Gather {
 public:
  static constexpr bool kVisitsAll = true;

  explicit Gather(const IndexParzenTask& task)
      : task_(task),
        inverse_(task.n_sigmas),
        sums_((task.last_query - task.first_query) * task.n_sigmas),
        dropped_(sums_.size()),
        least_(task.least + task.first_query, task.least + task.last_query) {
    for (std::size_t j = 0; j < task.n_sigmas; ++j) {
      inverse_[j] = 0.5 / (task.sigmas[j] * task.sigmas[j]);
      width_ = std::max(width_, task.cut / inverse_[j]);
    }
  }

  double threshold(std::size_t query) const {
    return (least_[query - task_.first_query] + width_) *
           (1.0 + 2.0 * squared_distance_relative_error(task_.queries.n_features));
  }
  void seed(std::size_t, TileRange, float*) {}

  void visit(std::size_t query, TileRange tile, const std::size_t* rows, std::size_t n) {
    const std::size_t q = query - task_.first_query;
    const double before = least_[q];
    double least = before;
    squared_.clear();
    for (std::size_t i = 0; i < n; ++i) {
      squared_.push_back(squared_distance(
          task_.queries.row<In>(query), task_.samples.row<In>(rows[i]), task_.queries.n_features));
      least = std::min(least, squared_.back());
    }
    least_[q] = least;
    if (!(least < std::numeric_limits<double>::infinity())) return;  // every term is exp(-infinity)
    const bool has_own = task_.scan.own.place(query, tile.first, tile.size()) < tile.size();
    for (std::size_t j = 0; j < inverse_.size(); ++j) {
      double& sum = sums_[q * inverse_.size() + j];
      double& dropped = dropped_[q * inverse_.size() + j];
      const double shrink = least < before ? std::exp((least - before) * inverse_[j]) : 1.0;
      const double limit = before + task_.cut / inverse_[j];
      std::size_t n_counted = 0;
      sum *= shrink;
      for (const double squared : squared_) {
        if (squared > limit) continue;
        sum += std::exp((least - squared) * inverse_[j]);
        ++n_counted;
      }
      // In units of exp(-least / (2 sigma^2)); what was left out lies past `before`.
      dropped = (dropped + static_cast<double>(tile.size() - has_own - n_counted)) * shrink;
    }
  }

  void write() const {
    constexpr double kEmpty = -std::numeric_limits<double>::infinity();
    const double error = squared_distance_relative_error(task_.queries.n_features);
    std::copy(least_.begin(), least_.end(), task_.least_met);
    for (std::size_t q = 0; q < least_.size(); ++q) {
      for (std::size_t j = 0; j < inverse_.size(); ++j) {
        const std::size_t at = q * inverse_.size() + j;
        const double exponent = least_[q] * inverse_[j];
        const std::size_t to = j * task_.sigma_stride + q;
        task_.log_sums[to] = sums_[at] > 0.0 ? std::log(sums_[at]) - exponent : kEmpty;
        // A distance is off by a relative `error`, and the limit with it.
        task_.log_dropped[to] = dropped_[at] > 0.0 ? std::log(dropped_[at]) - exponent - task_.cut +
                                                         2.0 * error * (exponent + task_.cut)
                                                   : kEmpty;
      }
    }
  }

 private:
  const IndexParzenTask& task_;
  std::vector<double> inverse_;  // 1 / (2 sigma^2)
  double width_ = 0.0;
  std::vector<double> sums_, dropped_;  // (n_queries, n_sigmas), in units of exp(-least inverse)
  std::vector<double> least_;           // (n_queries)
  std::vector<double> squared_;
};

}  // namespace

Survivors index_parzen_task(const IndexParzenTask& task) {
  return with_scalar(task.samples.scalar, [&]<class In>() {
    Gather<In> gather(task);
    const Survivors survivors =
        Scan(task.scan, gather)
            .run(task.first_query, task.last_query, task.first_sample, task.last_sample);
    gather.write();
    return survivors;
  });
}

}  // namespace fastgan::FASTGAN_LEVEL
