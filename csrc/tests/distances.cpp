#include "distances/approximate.h"
#include "distances/centre.h"
#include "index/passes.h"
#include "neighbors/neighbors.h"
#include "parzen/parzen.h"
#include "tests/check.h"
#include "tests/plain.h"

namespace fastgan::tests {
namespace {

struct Size {
  std::size_t n_queries, n_samples, n_features;
};
constexpr Size kSizes[] = {{1, 2, 1}, {3, 7, 3}, {13, 65, 17}, {25, 300, 100}, {5, 2100, 70}};
constexpr double kSigmas[] = {0.3, 1.0, 40.0};

// The k-th smallest distance of a query, which the answer may miss by the rounding of the sums.
void check_nearest(const std::vector<double>& plain, std::size_t n_samples, std::size_t k,
                   std::size_t offset_of_own, const std::vector<double>& squared_distances,
                   const std::vector<std::int64_t>& indices) {
  for (std::size_t q = 0; q < squared_distances.size() / k; ++q) {
    std::vector<double> sorted(plain.begin() + q * n_samples, plain.begin() + (q + 1) * n_samples);
    if (offset_of_own < n_samples) sorted[q + offset_of_own] = kInfinity;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t j = 0; j < k; ++j) {
      const double found = squared_distances[q * k + j];
      const auto row = static_cast<std::size_t>(indices[q * k + j]);
      CHECK(row < n_samples && row != q + offset_of_own);
      CHECK(close(found, plain[q * n_samples + row], 1e-15 * found));
      CHECK(close(found, sorted[j], 1e-15 * found));
      CHECK(j == 0 || squared_distances[q * k + j - 1] <= found);
    }
  }
}

// Radii that lie between distances, so that rounding cannot matter.
std::vector<double> radii_of(const std::vector<double>& plain, std::size_t n_samples) {
  std::vector<double> radii;
  for (std::size_t at = 0; at < plain.size(); at += n_samples) {
    std::vector<double> sorted(plain.begin() + at, plain.begin() + (at + n_samples));
    std::sort(sorted.begin(), sorted.end());
    radii.push_back(sorted[(n_samples - 1) / 3] * (1.0 + 1e-9));
  }
  return radii;
}

void check_counts(const std::vector<double>& plain, const std::vector<double>& radii,
                  const std::vector<std::int64_t>& per_query,
                  const std::vector<std::int64_t>& per_row) {
  const std::size_t n = per_row.size();
  std::vector<std::int64_t> of_query(per_query.size(), 0), of_row(n, 0);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    of_query[i / n] += plain[i] <= radii[i / n];
    of_row[i % n] += plain[i] <= radii[i / n];
  }
  CHECK(per_query == of_query);
  CHECK(per_row == of_row);
}

template <class T>
void check_approximate(const Points& queries, const Points& samples,
                       const std::vector<double>& plain) {
  const std::vector<double> centre = centre_of(samples, 2);
  std::vector<double> found(plain.size()), allowances(plain.size());
  const ApproximateDistances task{queries, samples, centre.data(), found.data(), allowances.data()};
  if constexpr (std::is_same_v<T, float>) {
    FASTGAN_DISPATCH(approximate_distances_float32)(task);
  } else {
    FASTGAN_DISPATCH(approximate_distances_float64)(task);
  }
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(close(found[i], plain[i], allowances[i]));
}

template <class In>
void check_dense(const Size& size) {
  const Rows<In> q(size.n_queries, size.n_features, 1), s(size.n_samples, size.n_features, 2);
  const std::vector<double> plain = plain_distances(q.points, s.points);
  check_approximate<float>(q.points, s.points, plain);
  check_approximate<double>(q.points, s.points, plain);

  const std::size_t k = std::min<std::size_t>(3, size.n_samples - 1);
  std::vector<double> distances(size.n_queries * k);
  std::vector<std::int64_t> indices(distances.size());
  nearest_neighbors(q.points, s.points, k, false, 2, distances.data(), indices.data());
  check_nearest(plain, size.n_samples, k, size.n_samples, distances, indices);

  const std::vector<double> radii = radii_of(plain, size.n_samples);
  std::vector<std::int64_t> per_query(size.n_queries, 0), per_row(size.n_samples, 0);
  count_within(q.points, s.points, radii.data(), Own{}, 2, per_query.data(), per_row.data());
  check_counts(plain, radii, per_query, per_row);

  const std::size_t n_sigmas = std::size(kSigmas), block = 64;
  const std::size_t n_blocks = (size.n_samples + block - 1) / block;
  for (const auto precision : {Precision::automatic, Precision::float32, Precision::float64}) {
    std::vector<double> sums(n_blocks * n_sigmas * size.n_queries), merged(sums.size() / n_blocks);
    parzen_log_sums(q.points, s.points, kSigmas, n_sigmas, block, Own{}, precision, 2, sums.data());
    merge_log_sums(sums.data(), n_blocks, merged.size(), merged.data());
    for (std::size_t i = 0; i < merged.size(); ++i) {
      const double expected =
          plain_log_sum(&plain[i % size.n_queries * size.n_samples], size.n_samples, size.n_samples,
                        kSigmas[i / size.n_queries]);
      CHECK(close(merged[i], expected, kParzenBudgetNats + 1e-12 * std::abs(expected)));
    }
  }
}

EACH_LEVEL(dense_distances_of_uint8) {
  for (const Size& size : kSizes) check_dense<std::uint8_t>(size);
}
EACH_LEVEL(dense_distances_of_float32) {
  for (const Size& size : kSizes) check_dense<float>(size);
}
EACH_LEVEL(dense_distances_of_float64) {
  for (const Size& size : kSizes) check_dense<double>(size);
}

template <class In>
void check_pruned(const Size& size, Own own) {
  const Rows<In> s(size.n_samples, size.n_features, 2);
  const Rows<In> apart(size.n_queries, size.n_features, 1);
  // Left out of its own sums, a query is one of the samples.
  Points points = apart.points;
  if (own.excluded) points.data = &s.values[static_cast<std::size_t>(own.offset) * size.n_features];
  const std::vector<double> plain = plain_distances(points, s.points);
  const std::size_t own_offset =
      own.excluded ? static_cast<std::size_t>(own.offset) : size.n_samples;
  const auto frame = std::make_shared<const Frame>(Frame::of(s.points, 2));
  const SketchSet queries(frame, points, Role::queries, 2);
  const SketchSet samples(frame, s.points, Role::samples, 2);

  std::vector<double> coarse(plain.size()), fine(plain.size());
  lower_bounds(queries, samples, coarse.data(), fine.data());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    CHECK(std::max(coarse[i], fine[i]) <= std::sqrt(plain[i]) * (1.0 + 1e-12) + 1e-300);
  }

  const std::size_t k = std::min<std::size_t>(3, size.n_samples - own.excluded);
  std::vector<double> distances(size.n_queries * k, kInfinity);
  std::vector<std::int64_t> indices(distances.size(), -1);
  index_nearest_neighbors(queries, samples, k, own, 0, 2, distances.data(), indices.data());
  check_nearest(plain, size.n_samples, k, own_offset, distances, indices);

  if (!own.excluded) {
    const std::vector<double> radii = radii_of(plain, size.n_samples);
    std::vector<std::int64_t> per_query(size.n_queries, 0), per_row(size.n_samples, 0);
    index_count_within(queries, samples, radii.data(), own, 2, per_query.data(), per_row.data());
    check_counts(plain, radii, per_query, per_row);
  }

  const std::size_t n_sigmas = std::size(kSigmas), block = 500;
  const std::size_t n_blocks = (size.n_samples + block - 1) / block;
  std::vector<double> sums(n_blocks * n_sigmas * size.n_queries), dropped = sums;
  std::vector<double> least(size.n_queries, kInfinity), met(n_blocks * size.n_queries);
  const double cut = std::log(static_cast<double>(size.n_samples) / 1e-6);
  index_parzen_log_sums(queries, samples, kSigmas, n_sigmas, cut, least.data(), block, own, 2,
                        sums.data(), dropped.data(), met.data());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::size_t query = i % size.n_queries, first = i / (n_sigmas * size.n_queries) * block;
    const std::size_t n = std::min(block, size.n_samples - first);
    const double whole =
        plain_log_sum(&plain[query * size.n_samples + first], n, query + own_offset - first,
                      kSigmas[i / size.n_queries % n_sigmas]);
    const double rounding = 1e-12 * (1.0 + std::abs(whole));
    const double most = std::max(sums[i], dropped[i]);
    const double bound =
        most == -kInfinity
            ? most
            : most + std::log(std::exp(sums[i] - most) + std::exp(dropped[i] - most));
    CHECK(whole == sums[i] || sums[i] <= whole + rounding);
    CHECK(whole == bound || whole <= bound + rounding);
  }
}

template <class In>
void check_pruned() {
  for (const Size& size : kSizes) {
    check_pruned<In>(size, Own{});
    if (size.n_samples > size.n_queries + 1) check_pruned<In>(size, Own{true, 1});
  }
}

EACH_LEVEL(pruned_distances_of_uint8) { check_pruned<std::uint8_t>(); }
EACH_LEVEL(pruned_distances_of_float32) { check_pruned<float>(); }
EACH_LEVEL(pruned_distances_of_float64) { check_pruned<double>(); }

TEST(probe_tells_the_shares_that_sketches_leave) {
  const Rows<float> rows(700, 40, 2);
  const auto frame = std::make_shared<const Frame>(Frame::of(rows.points, 2));
  for (const double width : {0.0, 1.0}) {
    const Shares shares = probe_index(frame, rows.points, width, 2);
    CHECK(0.0 < shares.fine && shares.fine <= shares.coarse && shares.coarse < 1.0);
  }
}

}  // namespace
}  // namespace fastgan::tests
