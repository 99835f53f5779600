#include "distances/approximate.h"

#include "distances/tile.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class T, class In>
void fill(const ApproximateDistances& task) {
  const std::size_t n_samples = task.samples.n_rows;
  scan<T, In>(task.queries, {0, task.queries.n_rows}, task.samples, {0, n_samples}, task.centre,
              [&](std::size_t query, const T* distances, const SampleTile<T, In>& tile,
                  std::size_t first, double allowance) {
                for (std::size_t column = 0; column < tile.n_samples(); ++column) {
                  const std::size_t at = query * n_samples + first + column;
                  task.squared_distances[at] = static_cast<double>(distances[column]);
                  task.allowances[at] = allowance;
                }
              });
}

template <class T>
void run_task(const ApproximateDistances& task) {
  with_scalar(task.samples.scalar, [&]<class In>() { fill<T, In>(task); });
}

}  // namespace

void approximate_distances_float32(const ApproximateDistances& task) { run_task<float>(task); }
void approximate_distances_float64(const ApproximateDistances& task) { run_task<double>(task); }

}  // namespace fastgan::FASTGAN_LEVEL
