// The one way through an index: samples tile by tile, over each tile strip by strip of queries, and
// for each query the rows that its threshold does not rule out.
//
// A row is ruled out where its lower bound exceeds the threshold T (a squared distance):
//
//     step |a_x - a_s| - radius_x - radius_s > scale sqrt(T)
//
// For the coarse sketches, with the largest radius of the tile in place of radius_s, that is a
// limit on the score (coarse.h), one compare for 16 rows; the fine sketches are asked pair by pair.
// Rows whose coarse radius is past the frame's limit (outliers) skip the coarse question, so that
// they do not loosen it for the others.
#pragma once

#include "common/cancel.h"
#include "index/coarse.h"
#include "index/survivors.h"

namespace fastgan::FASTGAN_LEVEL {

// The visitor is told of one query and one tile at a time, in this order for each query, and has
//
//     double threshold(query)                  pairs above it may be left out; kNothing: all of
//     them void seed(query, tile, scores)           only where that is infinite: the scores of the
//     tile's
//                                              rows, larger is nearer; they may be changed
//     void expect(row)                         it will be visited soon
//     void visit(query, row)                   kTightens: the threshold is asked for again each
//     time void visit(query, tile, rows, n)         else: all rows of a tile that are left,
//     ascending
struct TileRange {
  std::size_t first, last;
  std::size_t size() const { return last - first; }
};

inline constexpr double kNothing = -1.0;
inline constexpr std::size_t kInFlight = 2;  // rows on their way from memory

template <class Visitor>
class Scan {
 public:
  Scan(const IndexScan& scan, Visitor& visitor)
      : scan_(scan),
        visitor_(visitor),
        steps_per_length_((1.0 + 1e-12) / scan.fine_step),
        bits_((kTilePanels + 1) * kStrip),
        scores_(kTilePanels * kPanelRows * kStrip),
        always_(kTilePanels),
        rows_(kTileRows + 1) {}

  // Queries [first_query, last_query), samples [first_row, last_row).
  Survivors run(std::size_t first_query, std::size_t last_query, std::size_t first_row,
                std::size_t last_row) {
    survivors_ = {};
    for (std::size_t first = first_row; first < last_row; first += kTileRows) {
      load({first, std::min(last_row, first + kTileRows)});
      for (std::size_t strip = first_query; strip < last_query; strip += kStrip) {
        check_cancelled();
        pass(strip, std::min(kStrip, last_query - strip));
      }
    }
    return survivors_;
  }

 private:
  void load(TileRange tile) {
    tile_ = tile;
    first_panel_ = tile.first / kPanelRows;
    n_panels_ = (tile.last + kPanelRows - 1) / kPanelRows - first_panel_;
    coarse_.load(scan_.samples, first_panel_, n_panels_);
    radius_ = 0.0f;
    for (std::size_t panel = 0; panel < n_panels_; ++panel) {
      std::uint32_t always = 0;
      for (std::size_t lane = 0; lane < kPanelRows; ++lane) {
        const std::size_t row = (first_panel_ + panel) * kPanelRows + lane;
        if (row < tile.first || row >= tile.last) continue;
        const float radius = scan_.samples.coarse_radii[row];
        if (static_cast<double>(radius) > scan_.coarse_radius_limit) {
          always |= std::uint32_t{1} << lane;
        } else {
          radius_ = std::max(radius_, radius);
        }
      }
      always_[panel] = always;
    }
  }

  void pass(std::size_t first, std::size_t n) {
    strip_.load(scan_.queries, first, n);
    bool needs_seed = false;
    for (std::size_t i = 0; i < n; ++i) {
      needs_seed |= !(visitor_.threshold(first + i) < std::numeric_limits<double>::infinity());
    }
    if (needs_seed) seed(first, n);
    std::int32_t least[kStrip];
    double reach[kStrip];
    for (std::size_t i = 0; i < kStrip; ++i) {
      const std::size_t query = first + std::min(i, n - 1);
      reach[i] = reach_of(query);
      least[i] = least_score(query, reach[i]);
    }
    coarse_.compare(strip_, n_panels_, least, bits());
    for (std::size_t i = 0; i < n; ++i) {
      if (reach[i] >= 0.0) refine(first + i, i, reach[i]);
    }
  }

  // The least score of a row that is not ruled out; INT32_MIN where none is.
  std::int32_t least_score(std::size_t query, double reach) const {
    if (reach < 0.0) return std::numeric_limits<std::int32_t>::max();
    const Sketches& queries = scan_.queries;
    const double radius =
        static_cast<double>(queries.coarse_radii[query]) + static_cast<double>(radius_);
    const double steps = (reach + radius) / scan_.coarse_step;
    const double limit = steps * steps * (1.0 + 1e-12) + 1.0;  // of |a_x - a_s|^2
    if (!(limit < 0x1p30)) return std::numeric_limits<std::int32_t>::min();
    // 2 a_x . a_s - |a_s|^2 >= |a_x|^2 - limit, and twice (a_x . a_s - h_s) is no less than its
    // left.
    const std::int64_t twice = queries.coarse_norms[query] - static_cast<std::int64_t>(limit);
    const std::int64_t half = twice >= 0 ? (twice + 1) / 2 : -(-twice / 2);
    return static_cast<std::int32_t>(half + 128 * queries.coarse_sums[query]);
  }

  // The rows whose bit is set, ascending.
  std::size_t collect(const std::uint32_t* words, std::size_t own) {
    std::size_t n = 0;
    for (std::size_t panel = 0; panel < n_panels_; ++panel) {
      std::uint32_t bits = words[panel] | always_[panel];
      if (bits == 0) continue;
      const std::size_t first = (first_panel_ + panel) * kPanelRows;
      if (panel == 0) bits &= ~std::uint32_t{0} << (tile_.first - first);
      if (panel + 1 == n_panels_) bits &= ~std::uint32_t{0} >> (first + kPanelRows - tile_.last);
      for (; bits != 0; bits &= bits - 1) {
        const std::size_t row = first + static_cast<std::size_t>(std::countr_zero(bits));
        prefetch(scan_.samples.fine + row * scan_.samples.n_fine,
                 scan_.samples.n_fine * sizeof(std::int16_t));
        rows_[n] = row;
        n += row != own;
      }
    }
    return n;
  }

  void refine(std::size_t query, std::size_t strip_row, double reach) {
    const Sketches& samples = scan_.samples;
    const std::size_t n_fine = samples.n_fine;
    const std::int16_t* asking = scan_.queries.fine + query * n_fine;
    const std::size_t own = tile_.first + scan_.own.place(query, tile_.first, tile_.size());
    const std::size_t n_coarse = collect(bits()[strip_row], own);
    const double own_radius = static_cast<double>(scan_.queries.fine_radii[query]);
    std::size_t n = 0, n_visited = 0;
    for (std::size_t i = 0; i < n_coarse; ++i) {
      const std::size_t row = rows_[i];
      const double steps =
          (reach + own_radius + static_cast<double>(samples.fine_radii[row])) * steps_per_length_;
      const std::int32_t squared = fine_distance(asking, samples.fine + row * n_fine, n_fine);
      if (static_cast<double>(squared) > steps * steps) continue;
      visitor_.expect(row);
      rows_[n++] = row;  // never past i
      if constexpr (Visitor::kTightens) {
        if (n - n_visited <= kInFlight) continue;
        visitor_.visit(query, rows_[n_visited++]);
        reach = reach_of(query);
        if (reach < 0.0) break;
      }
    }
    survivors_.coarse += n_coarse;
    survivors_.fine += n;
    if constexpr (Visitor::kTightens) {
      while (n_visited < n) visitor_.visit(query, rows_[n_visited++]);
    } else {
      visitor_.visit(query, tile_, rows_.get(), n);
    }
  }

  // How far, in the frame's units, a row that counts can lie.
  double reach_of(std::size_t query) const {
    const double threshold = visitor_.threshold(query);
    return threshold < 0.0 ? kNothing : scan_.scale * std::sqrt(threshold) * (1.0 + 1e-12);
  }

  StripBits bits() const { return reinterpret_cast<StripBits>(bits_.get()); }

  void seed(std::size_t first, std::size_t n) {
    const std::size_t stride = n_panels_ * kPanelRows;
    coarse_.scores(strip_, n_panels_, scores_.get(), stride);
    const std::size_t offset = tile_.first - first_panel_ * kPanelRows;
    for (std::size_t i = 0; i < n; ++i) {
      if (visitor_.threshold(first + i) < std::numeric_limits<double>::infinity()) continue;
      visitor_.seed(first + i, tile_, scores_.get() + i * stride + offset);
    }
  }

  const IndexScan& scan_;
  Visitor& visitor_;
  CoarseTile coarse_;
  typename CoarseTile::Strip strip_;
  double steps_per_length_;
  Buffer<std::uint32_t> bits_;
  Buffer<float> scores_;
  Buffer<std::uint32_t> always_;
  Buffer<std::size_t> rows_;
  TileRange tile_{0, 0};
  std::size_t first_panel_ = 0, n_panels_ = 0;
  float radius_ = 0.0f;
  Survivors survivors_;
};

}  // namespace fastgan::FASTGAN_LEVEL
