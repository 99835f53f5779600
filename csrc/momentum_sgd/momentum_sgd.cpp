#include "momentum_sgd/momentum_sgd.h"

#include <cmath>
#include <type_traits>

#include "common/cancel_scope.h"
#include "common/denormals.h"
#include "common/thread_pool.h"

namespace fastgan {
namespace {

// Below this a thread costs more (5 to 10 us to wake) than it takes over.
constexpr std::size_t kElementsPerThread = 32768;

}  // namespace

template <class T>
void momentum_sgd(const MomentumSgd& options, std::size_t n_rows, std::size_t n_columns, T* weight,
                  T* velocity, const T* gradient, std::size_t n_threads) {
  if (n_columns == 0) return;
  check_cancelled();
  const CurrentScope to_the_end(nullptr);  // no matrix of which a part has moved
  if (std::isinf(options.max_norm)) {      // rows do not matter: any split is as good
    n_rows *= n_columns;
    n_columns = 1;
  }
  const auto run = [&](auto kernel) {
    parallel_rows(n_rows, kElementsPerThread / n_columns + 1, n_threads,
                  [&](std::size_t begin, std::size_t end) {
                    const std::size_t at = begin * n_columns;
                    kernel(options, end - begin, n_columns, weight + at, velocity + at,
                           gradient + at);
                  });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(momentum_sgd_float));
  } else {
    run(FASTGAN_DISPATCH(momentum_sgd_double));
  }
}

template <class T>
void move_weight(double max_norm, std::size_t n_rows, std::size_t n_columns, T* weight,
                 const T* velocity, std::size_t n_threads) {
  if (n_columns == 0) return;
  check_cancelled();
  const CurrentScope to_the_end(nullptr);
  if (std::isinf(max_norm)) {
    n_rows *= n_columns;
    n_columns = 1;
  }
  const auto run = [&](auto kernel) {
    parallel_rows(n_rows, kElementsPerThread / n_columns + 1, n_threads,
                  [&](std::size_t begin, std::size_t end) {
                    const FlushDenormals flush;
                    const std::size_t at = begin * n_columns;
                    kernel(max_norm, end - begin, n_columns, weight + at, velocity + at);
                  });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(move_weight_float));
  } else {
    run(FASTGAN_DISPATCH(move_weight_double));
  }
}

template void momentum_sgd<float>(const MomentumSgd&, std::size_t, std::size_t, float*, float*,
                                  const float*, std::size_t);
template void momentum_sgd<double>(const MomentumSgd&, std::size_t, std::size_t, double*, double*,
                                   const double*, std::size_t);
template void move_weight<float>(double, std::size_t, std::size_t, float*, const float*,
                                 std::size_t);
template void move_weight<double>(double, std::size_t, std::size_t, double*, const double*,
                                  std::size_t);

}  // namespace fastgan
