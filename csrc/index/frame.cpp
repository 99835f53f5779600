#include "index/frame.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/thread_pool.h"
#include "index/linear.h"
#include "index/sketch.h"
#include "philox/philox.h"

namespace fastgan {
namespace {

constexpr int kIterations = 2;  // of the subspace iteration, after a product with random signs
// Random directions hold less than this of data that no few directions hold: isotropic noise. More
// iterations would not help, and sketches will not either.
constexpr double kLeastHeld = 0.6;
constexpr std::uint32_t kSignsStep = 0, kMixStep = 1;  // of the Philox draws; seed and stream are 0

std::size_t size_of(Scalar scalar) {
  return with_scalar(scalar, []<class In>() { return sizeof(In); });
}

// +1 or -1, a function of the element's number alone.
void random_signs(std::uint32_t step, std::size_t n, std::size_t n_threads, double* signs) {
  std::vector<std::uint32_t> words(n);
  philox_words({0, step, 0}, 0, n, words.data(), n_threads);
  for (std::size_t i = 0; i < n; ++i) signs[i] = words[i] >> 31 ? 1.0 : -1.0;
}

double sum_of_squares(const std::vector<float>& values) {
  double sum[8] = {};
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum[i % 8] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

// The mean of the rows, and the power of two that brings the largest centred number to [1, 2).
void settle_centre_and_scale(const Points& rows, std::size_t n_threads, Frame& frame) {
  const std::size_t d = rows.n_features;
  frame.centre.assign(d, 0.0);
  std::vector<double> spread(d, 0.0);  // the largest |x - centre| of each feature
  parallel_rows(d, 64, n_threads, [&](std::size_t first, std::size_t last) {
    with_scalar(rows.scalar, [&]<class In>() {
      std::vector<double> sum(last - first, 0.0), least(sum), most(sum);
      for (std::size_t i = 0; i < rows.n_rows; ++i) {
        const In* row = rows.row<In>(i) + first;
        for (std::size_t j = 0; j < sum.size(); ++j) {
          const double value = static_cast<double>(row[j]);
          sum[j] += value / static_cast<double>(rows.n_rows);
          least[j] = i == 0 || value < least[j] ? value : least[j];
          most[j] = i == 0 || value > most[j] ? value : most[j];
        }
      }
      for (std::size_t j = 0; j < sum.size(); ++j) {
        frame.centre[first + j] = sum[j];
        spread[first + j] = std::max(most[j] - sum[j], sum[j] - least[j]);
      }
    });
  });
  const double largest = *std::max_element(spread.begin(), spread.end());
  frame.scale = largest > 0.0 && std::isfinite(largest)
                    ? std::ldexp(1.0, -std::clamp(std::ilogb(largest), -900, 900))
                    : 1.0;
}

// Leading directions by subspace iteration: Z = X^T (X V), made orthonormal, again. The first
// kCoarse - 1 are then mixed by a random rotation, which spreads the data evenly over them, so that
// one step of 8 bits suits them all.
void settle_directions(const Points& rows, std::size_t n_threads, Frame& frame) {
  const std::size_t m = rows.n_rows, d = rows.n_features, k = frame.n_fine;
  std::vector<float> x(m * d), transposed(d * m);
  parallel_rows(m, 16, n_threads, [&](std::size_t first, std::size_t last) {
    with_scalar(rows.scalar, [&]<class In>() {
      for (std::size_t i = first; i < last; ++i) {
        const In* row = rows.row<In>(i);
        for (std::size_t feature = 0; feature < d; ++feature) {
          x[i * d + feature] = static_cast<float>(
              (static_cast<double>(row[feature]) - frame.centre[feature]) * frame.scale);
        }
      }
    });
  });
  parallel_rows(d, 16, n_threads, [&](std::size_t first, std::size_t last) {
    constexpr std::size_t kBlock = 64;
    for (std::size_t start = 0; start < m; start += kBlock) {
      for (std::size_t feature = first; feature < last; ++feature) {
        for (std::size_t i = start; i < std::min(m, start + kBlock); ++i) {
          transposed[feature * m + i] = x[i * d + feature];
        }
      }
    }
  });
  std::vector<double> wide(m * k);
  random_signs(kSignsStep, wide.size(), n_threads, wide.data());
  std::vector<float> along(wide.begin(), wide.end());
  frame.directions.assign(d * k, 0.0f);
  wide.resize(d * k);
  for (int iteration = 0;; ++iteration) {
    cross_product(x.data(), along.data(), m, d, k, n_threads, frame.directions.data());
    for (std::size_t i = 0; i < d * k; ++i) {
      wide[i] = i % k == k - 1 ? 0.0 : static_cast<double>(frame.directions[i]);
    }
    orthonormalise(wide.data(), d, k, n_threads);
    if (iteration == kIterations) break;
    std::copy(wide.begin(), wide.end(), frame.directions.begin());
    cross_product(transposed.data(), frame.directions.data(), d, m, k, n_threads, along.data());
    if (sum_of_squares(along) < kLeastHeld * sum_of_squares(x)) break;
  }
  frame.defect = departure_from_orthonormal(wide.data(), d, k, n_threads);
  std::vector<double> mix(kCoarse * kCoarse);
  random_signs(kMixStep, mix.size(), n_threads, mix.data());
  for (std::size_t i = 0; i < kCoarse; ++i) {
    mix[i * kCoarse + kCoarse - 1] = mix[(kCoarse - 1) * kCoarse + i] = 0.0;
  }
  orthonormalise(mix.data(), kCoarse, kCoarse, n_threads);
  frame.defect += departure_from_orthonormal(mix.data(), kCoarse, kCoarse, n_threads);
  parallel_rows(d, 16, n_threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t row = first; row < last; ++row) {
      double mixed[kCoarse] = {};
      double* values = &wide[row * k];
      for (std::size_t j = 0; j + 1 < kCoarse; ++j) {
        for (std::size_t i = 0; i < kCoarse; ++i) mixed[i] += values[j] * mix[j * kCoarse + i];
      }
      std::copy(mixed, mixed + kCoarse - 1, values);
    }
  });
  for (std::size_t row = 0; row < d; ++row) {
    for (std::size_t j = 0; j < k; ++j) {
      frame.directions[(j / kPanelRows * d + row) * kPanelRows + j % kPanelRows] =
          static_cast<float>(wide[row * k + j]);
    }
  }
  // Rounding the directions to float32 moves them by at most 2^-24 of their Frobenius norm.
  frame.defect += 1.1 * 0x1p-24 * std::sqrt(static_cast<double>(k));
}

// The lattices' steps, so that the rows learned from just fit.
void settle_lattices(const Points& rows, std::size_t n_threads, Frame& frame) {
  const std::size_t m = rows.n_rows, k = frame.n_fine;
  std::vector<float> coordinates(m * k);
  std::vector<double> tails(2 * m);
  parallel_rows(m, 48, n_threads, [&](std::size_t first, std::size_t last) {
    FASTGAN_DISPATCH(project_rows)
    ({rows, frame.centre.data(), frame.directions.data(), frame.scale, frame.defect, k, first, last,
      coordinates.data(), tails.data()});
  });
  for (std::size_t i = 0; i < m; ++i) {
    if (!std::isfinite(tails[2 * i + 1])) continue;  // a row that float32 cannot hold
    frame.coarse_tail += tails[2 * i] / static_cast<double>(m);
    frame.fine_tail += tails[2 * i + 1] / static_cast<double>(m);
  }
  double largest = 0.0, longest = 0.0;
  for (std::size_t i = 0; i < m; ++i) {
    if (!std::isfinite(tails[2 * i + 1])) continue;
    const float* row = &coordinates[i * k];
    double squared = 0.0;
    for (std::size_t j = 0; j + 1 < k; ++j) {
      const double value = static_cast<double>(row[j]);
      squared += value * value;
      if (j + 1 < kCoarse) largest = std::max(largest, std::abs(value));
    }
    const double fine_tail = tails[2 * i + 1] - frame.fine_tail;
    largest = std::max(largest, std::abs(tails[2 * i] - frame.coarse_tail));
    longest = std::max(longest, squared + fine_tail * fine_tail);
  }
  const double least = 1e-6;  // all rows equal: any step will do
  frame.coarse_step = static_cast<float>(std::max(largest, least) / kCoarseMost);
  frame.fine_step = static_cast<float>(1.25 * std::max(std::sqrt(longest), least) / kFineMost);
  // Rounding kCoarse coordinates errs by step sqrt(kCoarse / 12) or so, and by twice that hardly
  // ever; a radius past it is that of a row which the lattice clips.
  frame.coarse_radius_limit = 0.75 * frame.coarse_step * std::sqrt(static_cast<double>(kCoarse));
}

}  // namespace

GatheredRows::GatheredRows(const Points& from, std::size_t n_rows)
    : memory(std::min(n_rows, from.n_rows) * from.n_features * size_of(from.scalar)),
      points{memory.data(), from.scalar, std::min(n_rows, from.n_rows), from.n_features} {
  const std::size_t bytes = from.n_features * size_of(from.scalar);
  for (std::size_t i = 0; i < points.n_rows; ++i) {
    const std::size_t row = i * from.n_rows / points.n_rows;
    std::memcpy(memory.data() + i * bytes, static_cast<const std::byte*>(from.data) + row * bytes,
                bytes);
  }
}

Frame Frame::of(const Points& points, std::size_t n_threads) {
  Frame frame;
  frame.n_features = points.n_features;
  frame.n_fine =
      std::clamp<std::size_t>((points.n_features / 4 + 31) / 32 * 32, kCoarse + 32, kMostFine);
  const GatheredRows rows(points, frame_rows(points.n_rows));
  settle_centre_and_scale(rows.points, n_threads, frame);
  settle_directions(rows.points, n_threads, frame);
  settle_lattices(rows.points, n_threads, frame);
  return frame;
}

}  // namespace fastgan
