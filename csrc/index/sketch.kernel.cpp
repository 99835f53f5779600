#include "index/sketch.h"

#include "distances/tile.h"
#include "simd/vector_math.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

constexpr float kUnit = std::numeric_limits<float>::epsilon() / 2;
// Packed rows past this norm are not sketched: their squares would leave float32.
constexpr double kLargestNorm = 1e15;

// Coordinates along the directions, a few strips of rows at a time: a chunk of the directions is
// read once for them all.
class Projection {
 public:
  static constexpr std::size_t kRows = 4 * kStrip;

  Projection(std::size_t n_features, std::size_t n_fine)
      : n_features_(n_features),
        n_fine_(n_fine),
        strips_(kRows * n_features),
        coordinates_(kRows * n_fine) {}

  // Fills coordinates() and squared_norms() of at most kRows rows.
  template <class In>
  void load(const In* rows, std::size_t n, const double* centre, double scale,
            const float* directions) {
    constexpr std::size_t kPanel = Tile<float>::kPanel;
    pack<float, In>(rows, n, n_features_, centre, kStrip, strips_.get(), squared_norms_, scale);
    for (std::size_t start = 0; start < n_features_; start += kChunk) {
      const std::size_t width = std::min(kChunk, n_features_ - start);
      for (std::size_t column = 0; column < n_fine_; column += kPanel) {
        // Panels of the frame are kPanelRows wide, this level's a whole part of that.
        const float* panel = directions + column / kPanelRows * kPanelRows * n_features_ +
                             start * kPanelRows + column % kPanelRows;
        for (std::size_t strip = 0; strip < n; strip += kStrip) {
          multiply_chunk<float>(strips_.get() + strip * n_features_ + start * kStrip, panel, width,
                                kPanelRows, coordinates_.get() + strip * n_fine_ + column, n_fine_,
                                start > 0);
        }
      }
    }
  }
  float* coordinates(std::size_t row) const { return coordinates_.get() + row * n_fine_; }
  double squared_norm(std::size_t row) const { return squared_norms_[row]; }

 private:
  std::size_t n_features_, n_fine_;
  Buffer<float> strips_, coordinates_;
  double squared_norms_[kRows];
};

double sum_of_squares(const float* values, std::size_t n) {
  using V = Vector<double>;
  V sum = V::broadcast(0.0);
  std::size_t i = 0;
  for (; i + V::width <= n; i += V::width) {
    const V value = V::load(values + i);
    sum = multiply_add(value, value, sum);
  }
  double total = reduce_add(sum);
  for (; i < n; ++i) total += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return total;
}

double tail_of(double squared_norm, double squared_part) {
  return std::sqrt(std::max(0.0, squared_norm - squared_part));
}

// |computed tail - true tail|, where the part within the directions is off by `error` at most.
double tail_error(double tail, double norm, double error) {
  const double squared = error * (2.0 * norm + error) + 1e-14 * norm * norm;
  return tail > 0.0 ? std::min(std::sqrt(squared), squared / tail) : std::sqrt(squared);
}

// Rounds values / step to the lattice, clipped to +-most, and returns |values - step lattice|; n is
// a multiple of 32.
template <class Integer>
double to_lattice(const float* values, std::size_t n, float step, float shrink, float most,
                  Integer* lattice) {
  using V = Vector<float>;
  const V inverse = V::broadcast(shrink / step);
  const V minus_step = V::broadcast(-step);
  const V lowest = V::broadcast(-most), highest = V::broadcast(most);
  V squared = V::broadcast(0.0f);
  float places[kMostFine];
  for (std::size_t i = 0; i < n; i += V::width) {
    const V value = V::load(values + i);
    const V place = round_nearest(minimum(maximum(value * inverse, lowest), highest));
    const V rest = multiply_add(place, minus_step, value);
    squared = multiply_add(rest, rest, squared);
    place.store(places + i);
  }
  for (std::size_t i = 0; i < n; ++i) lattice[i] = static_cast<Integer>(places[i]);
  return std::sqrt(static_cast<double>(reduce_add(squared)));
}

float round_up(double value) {
  return static_cast<float>(value) * (1.0f + 4.0f * std::numeric_limits<float>::epsilon());
}

struct Sketcher {
  const SketchTask& task;
  double error_factor;

  explicit Sketcher(const SketchTask& task_) : task(task_) {
    const double n_features = static_cast<double>(task.points.n_features);
    const double n_chunks = std::ceil(n_features / static_cast<double>(kChunk));
    const double product = (static_cast<double>(kChunk) + n_chunks + 2.0) * kUnit;
    error_factor = 1.01 * (product * std::sqrt(static_cast<double>(task.sketches.n_fine)) *
                               (1.0 + task.defect) +
                           task.defect + 6.0 * kUnit);
  }

  // Rounding of the lattice's own arithmetic in float32 is within a part in 10^4 of the radius and
  // 6 u of the numbers: of the row's, which error_factor holds, and of what its tail is less.
  double radius(double rounding, double norm, double tail, double mean_tail) const {
    const double error = error_factor * norm + 1e-30;
    return rounding * 1.0001 + error + 6.0 * kUnit * mean_tail + tail_error(tail, norm, error);
  }

  void write(std::size_t row, float* coordinates, double squared_norm) const {
    const Sketches& out = task.sketches;
    std::int8_t coarse[kCoarse] = {};
    std::int16_t* fine = out.fine + row * out.n_fine;
    double coarse_radius = std::numeric_limits<double>::infinity();
    double fine_radius = coarse_radius;
    if (squared_norm < kLargestNorm * kLargestNorm) {
      const double norm = std::sqrt(squared_norm);
      const double leading = sum_of_squares(coordinates, kCoarse - 1);
      const double all = leading + sum_of_squares(coordinates + kCoarse - 1, out.n_fine - kCoarse);
      float head[kCoarse];
      std::copy(coordinates, coordinates + kCoarse - 1, head);
      const double coarse_tail = tail_of(squared_norm, leading);
      head[kCoarse - 1] = static_cast<float>(coarse_tail - task.coarse_tail);
      coarse_radius = radius(to_lattice(head, kCoarse, static_cast<float>(task.coarse_step), 1.0f,
                                        static_cast<float>(kCoarseMost), coarse),
                             norm, coarse_tail, task.coarse_tail);
      const double fine_tail = tail_of(squared_norm, all);
      coordinates[out.n_fine - 1] = static_cast<float>(fine_tail - task.fine_tail);
      const double offset = fine_tail - task.fine_tail;
      const double length = std::sqrt(all + offset * offset) / task.fine_step + 16.0;
      const double shrink = length > kFineMost ? kFineMost / length : 1.0;
      fine_radius =
          radius(to_lattice(coordinates, out.n_fine, static_cast<float>(task.fine_step),
                            static_cast<float>(shrink), static_cast<float>(kFineMost), fine),
                 norm, fine_tail, task.fine_tail);
    } else {
      std::fill(fine, fine + out.n_fine, std::int16_t{0});
    }
    out.coarse_radii[row] = round_up(coarse_radius);
    out.fine_radii[row] = round_up(fine_radius);
    std::int32_t squares = 0, sum = 0;
    for (std::size_t i = 0; i < kCoarse; ++i) {
      squares += coarse[i] * coarse[i];
      sum += coarse[i];
    }
    out.coarse_norms[row] = squares;
    if (out.coarse_rows != nullptr) {
      std::copy(coarse, coarse + kCoarse, out.coarse_rows + row * kCoarse);
      out.coarse_sums[row] = sum;
    }
    if (out.coarse_panels != nullptr) {
      std::uint8_t* panel = out.coarse_panels + row / kPanelRows * kPanelRows * kCoarse;
      for (std::size_t group = 0; group < kCoarse / 4; ++group) {
        std::uint8_t* to = panel + (group * kPanelRows + row % kPanelRows) * 4;
        for (std::size_t i = 0; i < 4; ++i) {
          to[i] = static_cast<std::uint8_t>(coarse[4 * group + i] + 128);
        }
      }
    }
  }
};

}  // namespace

void sketch_rows(const SketchTask& task) {
  with_scalar(task.points.scalar, [&]<class In>() {
    const Sketcher sketcher(task);
    Projection projection(task.points.n_features, task.sketches.n_fine);
    for (std::size_t first = task.first; first < task.last; first += Projection::kRows) {
      const std::size_t n = std::min(Projection::kRows, task.last - first);
      projection.load(task.points.row<In>(first), n, task.centre, task.scale, task.directions);
      for (std::size_t i = 0; i < n; ++i) {
        sketcher.write(first + i, projection.coordinates(i), projection.squared_norm(i));
      }
    }
  });
}

void project_rows(const ProjectionTask& task) {
  with_scalar(task.points.scalar, [&]<class In>() {
    Projection projection(task.points.n_features, task.n_fine);
    for (std::size_t first = task.first; first < task.last; first += Projection::kRows) {
      const std::size_t n = std::min(Projection::kRows, task.last - first);
      projection.load(task.points.row<In>(first), n, task.centre, task.scale, task.directions);
      for (std::size_t i = 0; i < n; ++i) {
        float* to = task.coordinates + (first + i) * task.n_fine;
        const float* from = projection.coordinates(i);
        std::copy(from, from + task.n_fine, to);
        const double leading = sum_of_squares(from, kCoarse - 1);
        const double all = leading + sum_of_squares(from + kCoarse - 1, task.n_fine - kCoarse);
        task.tails[2 * (first + i)] = tail_of(projection.squared_norm(i), leading);
        task.tails[2 * (first + i) + 1] = tail_of(projection.squared_norm(i), all);
      }
    }
  });
}

}  // namespace fastgan::FASTGAN_LEVEL
