#include "index/sketches.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/cancel.h"
#include "common/thread_pool.h"

namespace fastgan {
namespace {

constexpr std::size_t kLeastRows = 4 * kPanelRows, kMostRows = 32 * kPanelRows;  // in a task

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

SketchSet::SketchSet(std::shared_ptr<const Frame> frame, const Points& points, Role role,
                     std::size_t n_threads)
    : frame_(std::move(frame)), points_(points), role_(role) {
  const std::size_t n = points.n_rows;
  const std::size_t padded = (n + kPanelRows - 1) / kPanelRows * kPanelRows;
  view_.n_rows = n;
  view_.n_fine = frame_->n_fine;
  const auto carve = [&]<class T>(T*& pointer, std::size_t count, std::size_t& offset) {
    if (memory_ != nullptr) pointer = reinterpret_cast<T*>(memory_.get() + offset);
    offset += aligned(count * sizeof(T));
  };
  const auto lay_out = [&] {
    std::size_t offset = 0;
    if (role == Role::samples) carve(view_.coarse_panels, padded * kCoarse, offset);
    if (role == Role::queries) {
      carve(view_.coarse_rows, n * kCoarse, offset);
      carve(view_.coarse_sums, n, offset);
    }
    carve(view_.fine, n * view_.n_fine, offset);
    carve(view_.coarse_norms, n, offset);
    carve(view_.coarse_radii, n, offset);
    carve(view_.fine_radii, n, offset);
    return offset;
  };
  const std::size_t n_bytes = lay_out();
  memory_.reset(static_cast<std::byte*>(::operator new(n_bytes + 64, std::align_val_t{64})));
  lay_out();
  if (role == Role::samples && padded > n) {  // the rows that fill up the last panel
    std::fill(view_.coarse_panels + (padded - kPanelRows) * kCoarse,
              view_.coarse_panels + padded * kCoarse, std::uint8_t{128});
  }
  const std::size_t n_in_task =
      std::clamp(n / (8 * std::max<std::size_t>(n_threads, 1)) / kPanelRows * kPanelRows,
                 kLeastRows, kMostRows);
  parallel_for((n + n_in_task - 1) / n_in_task, n_threads, [&](std::size_t index) {
    const std::size_t first = index * n_in_task;
    FASTGAN_DISPATCH(sketch_rows)
    ({points_, frame_->centre.data(), frame_->directions.data(), frame_->scale, frame_->defect,
      frame_->coarse_step, frame_->fine_step, frame_->coarse_tail, frame_->fine_tail, first,
      std::min(n, first + n_in_task), view_});
  });
}

IndexScan index_scan(const SketchSet& queries, const SketchSet& samples, Own own) {
  const Frame& frame = samples.frame();
  return {queries.view(),
          samples.view(),
          frame.scale,
          frame.coarse_step,
          frame.fine_step,
          frame.coarse_radius_limit,
          own};
}

void lower_bounds(const SketchSet& queries, const SketchSet& samples, double* coarse,
                  double* fine) {
  const IndexScan scan = index_scan(queries, samples, Own{});
  const Sketches &x = scan.queries, &s = scan.samples;
  const auto bound = [&](std::int64_t squared, double step, float radius_x, float radius_s) {
    return (step * std::sqrt(static_cast<double>(squared)) - static_cast<double>(radius_x) -
            static_cast<double>(radius_s)) /
           scan.scale;
  };
  for (std::size_t query = 0; query < x.n_rows; ++query) {
    check_cancelled();
    for (std::size_t row = 0; row < s.n_rows; ++row) {
      std::int64_t of_coarse = 0, of_fine = 0;
      const std::uint8_t* panel = s.coarse_panels + row / kPanelRows * kPanelRows * kCoarse;
      for (std::size_t i = 0; i < kCoarse; ++i) {
        const int at = panel[(i / 4 * kPanelRows + row % kPanelRows) * 4 + i % 4] - 128;
        const int difference = x.coarse_rows[query * kCoarse + i] - at;
        of_coarse += difference * difference;
      }
      for (std::size_t i = 0; i < s.n_fine; ++i) {
        const std::int64_t difference = x.fine[query * s.n_fine + i] - s.fine[row * s.n_fine + i];
        of_fine += difference * difference;
      }
      const std::size_t to = query * s.n_rows + row;
      coarse[to] = bound(of_coarse, scan.coarse_step, x.coarse_radii[query], s.coarse_radii[row]);
      fine[to] = bound(of_fine, scan.fine_step, x.fine_radii[query], s.fine_radii[row]);
    }
  }
}

}  // namespace fastgan
