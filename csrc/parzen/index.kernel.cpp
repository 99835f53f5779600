#include <vector>

#include "distances/exact.h"
#include "index/scan.h"
#include "parzen/parzen.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class In>
class Gather {
 public:
  static constexpr bool kTightens = false;

  explicit Gather(const IndexParzenTask& task)
      : task_(task),
        inverse_(task.n_sigmas),
        sums_((task.last_query - task.first_query) * task.n_sigmas),
        dropped_(sums_.size()),
        least_(task.least + task.first_query, task.least + task.last_query),
        nearest_(least_.size(), std::numeric_limits<double>::infinity()) {
    for (std::size_t j = 0; j < task.n_sigmas; ++j) {
      inverse_[j] = 0.5 / (task.sigmas[j] * task.sigmas[j]);
      width_ = std::max(width_, task.cut / inverse_[j]);
    }
  }

  double threshold(std::size_t query) const {
    return limit(least_[query - task_.first_query], width_);
  }
  void seed(std::size_t, TileRange, float*) {}

  void expect(std::size_t row) const {
    prefetch(task_.samples.row<In>(row), task_.samples.n_features * sizeof(In));
  }
  void visit(std::size_t query, TileRange tile, const std::size_t* rows, std::size_t n) {
    const std::size_t q = query - task_.first_query;
    const double before = least_[q];
    const double nearest_before = nearest_[q];
    double nearest = nearest_before;
    squared_.clear();
    for (std::size_t i = 0; i < n; ++i) {
      squared_.push_back(squared_distance(
          task_.queries.row<In>(query), task_.samples.row<In>(rows[i]), task_.queries.n_features));
      nearest = std::min(nearest, squared_.back());
    }
    const double least = std::min(before, nearest);
    least_[q] = least;
    nearest_[q] = nearest;
    if (!(least < std::numeric_limits<double>::infinity())) return;  // every term is exp(-infinity)
    const bool has_own = task_.scan.own.place(query, tile.first, tile.size()) < tile.size();
    for (std::size_t j = 0; j < inverse_.size(); ++j) {
      double& sum = sums_[q * inverse_.size() + j];
      double& dropped = dropped_[q * inverse_.size() + j];
      const double most = limit(before, task_.cut / inverse_[j]);
      std::size_t n_counted = 0;
      if (nearest < nearest_before) sum *= std::exp((nearest - nearest_before) * inverse_[j]);
      for (const double squared : squared_) {
        if (squared > most) continue;
        sum += std::exp((nearest - squared) * inverse_[j]);
        ++n_counted;
      }
      // What was left out lies past `before` + cut / inverse.
      dropped += static_cast<double>(tile.size() - has_own - n_counted);
      if (least < before) dropped *= std::exp((least - before) * inverse_[j]);
    }
  }

  void write() const {
    constexpr double kEmpty = -std::numeric_limits<double>::infinity();
    std::copy(least_.begin(), least_.end(), task_.least_met);
    for (std::size_t q = 0; q < least_.size(); ++q) {
      for (std::size_t j = 0; j < inverse_.size(); ++j) {
        const std::size_t at = q * inverse_.size() + j;
        const std::size_t to = j * task_.sigma_stride + q;
        task_.log_sums[to] =
            sums_[at] > 0.0 ? std::log(sums_[at]) - nearest_[q] * inverse_[j] : kEmpty;
        // 2^-50: the rounding of exponents.
        const double exponent = least_[q] * inverse_[j] + task_.cut;
        task_.log_dropped[to] =
            dropped_[at] > 0.0 && exponent < std::numeric_limits<double>::infinity()
                ? std::log(dropped_[at]) - exponent * (1.0 - 0x1p-50)
                : kEmpty;
      }
    }
  }

 private:
  // What no distance by differences exceeds if its true value is at most least + width.
  double limit(double least, double width) const {
    const std::size_t n = task_.queries.n_features;
    return (least + width) * (1.0 + 2.0 * squared_distance_relative_error(n)) +
           squared_distance_underflow(n);
  }

  const IndexParzenTask& task_;
  std::vector<double> inverse_;  // 1 / (2 sigma^2)
  double width_ = 0.0;
  // (n_queries, n_sigmas), in units of exp(-nearest inverse) and of exp(-least inverse - cut).
  std::vector<double> sums_, dropped_;
  std::vector<double> least_;    // (n_queries): a bound of the smallest distance of all samples
  std::vector<double> nearest_;  // (n_queries): the smallest one that was looked at
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
