#include <vector>

#include "distances/tile.h"
#include "neighbors/best.h"
#include "neighbors/neighbors.h"

namespace fastgan::FASTGAN_LEVEL {

void count_task(const CountTask& task) {
  with_scalar(task.data.scalar, [&]<class In>() {
    const std::size_t n_features = task.queries.n_features;
    const auto score = [&](std::size_t query, std::size_t row) {
      const double radius = task.squared_radii[query];
      if (squared_distance_within(task.queries.row<In>(query), task.data.row<In>(row), n_features,
                                  radius) > radius) {
        return;
      }
      ++task.per_query[query];
      ++task.per_row[row];
    };
    scan<float, In>(task.queries, {task.first_query, task.last_query}, task.data,
                    {0, task.data.n_rows}, task.centre,
                    [&](std::size_t query, float* distances, const SampleTile<float, In>& tile,
                        std::size_t first, double allowance) {
                      const std::size_t own = task.own.place(query, first, tile.n_samples());
                      if (!(allowance < std::numeric_limits<float>::max())) {
                        for (std::size_t column = 0; column < tile.n_samples(); ++column) {
                          if (column != own) score(query, first + column);
                        }
                        return;
                      }
                      const float limit = round_up<float>(task.squared_radii[query] + allowance);
                      for_each_within(distances, tile.n_columns(), limit, [&](std::size_t column) {
                        if (column < tile.n_samples() && column != own)
                          score(query, first + column);
                      });
                    });
  });
}

}  // namespace fastgan::FASTGAN_LEVEL
