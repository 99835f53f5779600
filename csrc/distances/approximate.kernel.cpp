#include "distances/approximate.h"

#include "distances/tile.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class T, class In>
void fill(const ApproximateDistances& task) {
  const std::size_t n_features = task.samples.n_features;
  const std::size_t n_samples = task.samples.n_rows;
  const QueryStrips<T, In> strips(task.queries, 0, task.queries.n_rows, task.centre);
  SampleTile<T, In> tile(n_features);
  const Buffer<T> distances(kStrip * tile.capacity());
  for (std::size_t first = 0; first < n_samples; first += tile.capacity()) {
    const std::size_t n = std::min(tile.capacity(), n_samples - first);
    tile.load(task.samples, first, n, task.centre);
    for (std::size_t strip = 0; strip < strips.size(); strip += kStrip) {
      const std::size_t n_rows = std::min(kStrip, strips.size() - strip);
      tile.distances(strips.strip(strip), strips.squared_norms(strip), n_rows, distances.get());
      for (std::size_t row = 0; row < n_rows; ++row) {
        const double norm = std::sqrt(strips.squared_norms(strip)[row]);
        const double allowance = Tile<T>::allowance(norm, tile.largest_norm(), n_features);
        for (std::size_t column = 0; column < n; ++column) {
          const std::size_t at = (strip + row) * n_samples + first + column;
          task.squared_distances[at] =
              static_cast<double>(distances[row * tile.capacity() + column]);
          task.allowances[at] = allowance;
        }
      }
    }
  }
}

template <class T>
void run_task(const ApproximateDistances& task) {
  with_scalar(task.samples.scalar, [&]<class In>() { fill<T, In>(task); });
}

}  // namespace

void approximate_distances_float32(const ApproximateDistances& task) { run_task<float>(task); }
void approximate_distances_float64(const ApproximateDistances& task) { run_task<double>(task); }

}  // namespace fastgan::FASTGAN_LEVEL
