#include "linear/linear.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/cancel_scope.h"
#include "common/denormals.h"
#include "common/thread_pool.h"

namespace fastgan {
namespace {

// Multiply-adds that are worth a thread's waking (5 to 10 us).
constexpr std::size_t kProductsPerThread = 1 << 19;

// Elements of a pass over memory that are worth a thread's waking.
constexpr std::size_t kElementsPerThread = 8192;

// Units that a task of forward or update takes, a multiple of every tile's height.
constexpr std::size_t kUnitsPerTask = 40;

// Below this share of numbers that are not zero, input_gradient goes by lists.
constexpr std::size_t kDenseAdvantage = 3;

std::size_t threads_worth(const LinearShape& shape, std::size_t n_threads) {
  const std::size_t n_products = shape.n_rows * shape.n_features * shape.n_units;
  return std::clamp<std::size_t>(n_threads, 1, n_products / kProductsPerThread + 1);
}

// Calls task(begin, end) for [0, n) in parts of about the given size, a multiple of `multiple`.
template <class Task>
void in_parts(std::size_t n, std::size_t size, std::size_t multiple, std::size_t n_threads,
              const Task& task) {
  if (n == 0) return;
  const std::size_t part = (size + multiple - 1) / multiple * multiple;
  const std::size_t n_parts = (n + part - 1) / part;
  parallel_for(n_parts, n_threads, [&](std::size_t index) {
    const FlushDenormals flush;
    task(index * part, std::min(n, (index + 1) * part));
  });
}

// The same for a block of rows after the other, task(its shape, its first row, begin, end): a task
// over all rows of a large batch would keep a cancelled call waiting.
template <class Task>
void in_parts_of_blocks(const LinearShape& shape, std::size_t n, std::size_t size,
                        std::size_t multiple, std::size_t n_threads, const Task& task) {
  constexpr std::size_t kRows = 4000;  // a multiple of every tile's height
  for (std::size_t row = 0; row < shape.n_rows; row += kRows) {
    const LinearShape block{std::min(kRows, shape.n_rows - row), shape.n_features, shape.n_units};
    in_parts(n, size, multiple, n_threads,
             [&](std::size_t begin, std::size_t end) { task(block, row, begin, end); });
  }
}

}  // namespace

template <class T>
void linear_forward(const LinearShape& shape, const T* input, const T* weight, const T* bias,
                    Activation activation, T* output, std::size_t n_threads) {
  const auto run = [&](auto kernel) {
    in_parts_of_blocks(
        shape, shape.n_units, kUnitsPerTask, kUnitsPerTask, threads_worth(shape, n_threads),
        [&](const LinearShape& block, std::size_t row, std::size_t begin, std::size_t end) {
          kernel(block, input + row * shape.n_features, weight, bias, activation, begin, end,
                 output + row * shape.n_units);
        });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(linear_forward_float));
  } else {
    run(FASTGAN_DISPATCH(linear_forward_double));
  }
}

// Lists what is not zero in all rows, then calls gather(block, its first row, its lists, begin,
// end) for parts of the features of about equal width, at most 8 registers, as many as the threads
// can share evenly.
template <class T, class List, class Gather>
void by_lists(const LinearShape& shape, std::size_t n_threads, const List& list,
              const Gather& gather) {
  constexpr std::size_t kLine = 64 / sizeof(T);
  // They only ever grow: what is paged in stays. Taken out while they are in use, as what is asked
  // between tasks may call this function again.
  thread_local std::vector<Nonzero<T>> kept_lists;
  thread_local std::vector<std::size_t> kept_counts;
  std::vector<Nonzero<T>> lists = std::exchange(kept_lists, {});
  std::vector<std::size_t> counts = std::exchange(kept_counts, {});
  if (lists.size() < shape.n_rows * shape.n_units) lists.resize(shape.n_rows * shape.n_units);
  if (counts.size() < shape.n_rows) counts.resize(shape.n_rows);
  const NonzeroRows<T> rows{lists.data(), counts.data()};
  in_parts(shape.n_rows, (shape.n_rows + n_threads - 1) / n_threads, 1, n_threads,
           [&](std::size_t begin, std::size_t end) { list(begin, end, rows); });
  const std::size_t n_parts = (shape.n_features + 8 * kLine - 1) / (8 * kLine);
  const std::size_t n_even = (n_parts + n_threads - 1) / n_threads * n_threads;
  in_parts_of_blocks(
      shape, shape.n_features, (shape.n_features + n_even - 1) / n_even, kLine, n_threads,
      [&](const LinearShape& block, std::size_t row, std::size_t begin, std::size_t end) {
        gather(block, row, {rows.lists + row * shape.n_units, rows.counts + row}, begin, end);
      });
  kept_lists.swap(lists);
  kept_counts.swap(counts);
}

template <class T>
void linear_input_gradient(const LinearShape& shape, const T* delta, const T* weight, T* gradient,
                           std::size_t n_threads) {
  n_threads = threads_worth(shape, n_threads);
  const auto run = [&](auto kernel, auto list, auto count) {
    const std::size_t n = shape.n_rows * shape.n_units;
    if (count(delta, n) * kDenseAdvantage < n) {
      by_lists<T>(
          shape, n_threads,
          [&](std::size_t begin, std::size_t end, const NonzeroRows<T>& rows) {
            list(shape, delta, begin, end, rows);
          },
          [&](const LinearShape& block, std::size_t row, const NonzeroRows<T>& rows,
              std::size_t begin, std::size_t end) {
            kernel(block, delta + row * shape.n_units, rows, weight, begin, end,
                   gradient + row * shape.n_features);
          });
      return;
    }
    // A wide part of a large matrix: what lies side by side in a page of memory is packed together.
    constexpr std::size_t kLine = 64 / sizeof(T);
    const std::size_t size = (shape.n_features < 2048 ? 3 : 12) * kLine;
    in_parts_of_blocks(
        shape, shape.n_features, size, kLine, n_threads,
        [&](const LinearShape& block, std::size_t row, std::size_t begin, std::size_t end) {
          kernel(block, delta + row * shape.n_units, {nullptr, nullptr}, weight, begin, end,
                 gradient + row * shape.n_features);
        });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(linear_input_gradient_float), FASTGAN_DISPATCH(linear_list_float),
        FASTGAN_DISPATCH(count_nonzero_float));
  } else {
    run(FASTGAN_DISPATCH(linear_input_gradient_double), FASTGAN_DISPATCH(linear_list_double),
        FASTGAN_DISPATCH(count_nonzero_double));
  }
}

template <class T>
void maxout_input_gradient(const LinearShape& shape, const WinnerDelta<T>& delta, const T* weight,
                           T* gradient, std::size_t n_threads) {
  n_threads = threads_worth(shape, n_threads);
  const auto run = [&](auto kernel, auto list) {
    by_lists<T>(
        shape, n_threads,
        [&](std::size_t begin, std::size_t end, const NonzeroRows<T>& rows) {
          list(shape, delta, begin, end, rows);
        },
        [&](const LinearShape& block, std::size_t row, const NonzeroRows<T>& rows,
            std::size_t begin, std::size_t end) {
          kernel(block, nullptr, rows, weight, begin, end, gradient + row * shape.n_features);
        });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(linear_input_gradient_float), FASTGAN_DISPATCH(maxout_list_float));
  } else {
    run(FASTGAN_DISPATCH(linear_input_gradient_double), FASTGAN_DISPATCH(maxout_list_double));
  }
}

template <class T>
void maxout_update(const LinearShape& shape, const WinnerDelta<T>& delta, const T* row_scale,
                   const T* input, const MomentumSgd& move, T* weight, T* velocity, T* bias,
                   T* bias_velocity, std::size_t n_threads) {
  check_cancelled();
  const CurrentScope to_the_end(nullptr);  // no matrix of which a part has moved
  const auto run = [&](auto kernel) {
    in_parts(shape.n_units, kUnitsPerTask, delta.n_pieces, threads_worth(shape, n_threads),
             [&](std::size_t begin, std::size_t end) {
               kernel(shape, delta, row_scale, input, move, begin, end, weight, velocity, bias,
                      bias_velocity);
             });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(maxout_update_float));
  } else {
    run(FASTGAN_DISPATCH(maxout_update_double));
  }
}

template <class T>
void linear_update(const LinearShape& shape, const T* delta, const T* row_scale, const T* input,
                   const MomentumSgd& move, T* weight, T* velocity, T* bias, T* bias_velocity,
                   std::size_t n_threads) {
  check_cancelled();
  const CurrentScope to_the_end(nullptr);
  const auto run = [&](auto kernel) {
    in_parts(shape.n_units, kUnitsPerTask, kUnitsPerTask, threads_worth(shape, n_threads),
             [&](std::size_t begin, std::size_t end) {
               kernel(shape, delta, row_scale, input, move, begin, end, weight, velocity, bias,
                      bias_velocity);
             });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(linear_update_float));
  } else {
    run(FASTGAN_DISPATCH(linear_update_double));
  }
}

template <class T>
void activation_delta(std::size_t n_rows, std::size_t n_columns, const T* gradient,
                      std::size_t gradient_stride, const T* row_scale, const DropoutMask& mask,
                      std::uint64_t first, Activation activation, const T* values, T* delta,
                      std::size_t n_threads) {
  const auto run = [&](auto kernel) {
    parallel_rows(n_rows, kElementsPerThread / std::max<std::size_t>(n_columns, 1) + 1, n_threads,
                  [&](std::size_t begin, std::size_t end) {
                    const FlushDenormals flush;
                    const std::size_t at = begin * n_columns;
                    kernel(end - begin, n_columns, gradient + begin * gradient_stride,
                           gradient_stride, row_scale == nullptr ? nullptr : row_scale + begin,
                           mask, first + at, activation, values + at, delta + at);
                  });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(activation_delta_float));
  } else {
    run(FASTGAN_DISPATCH(activation_delta_double));
  }
}

#define FASTGAN_INSTANTIATE(T)                                                                     \
  template void linear_forward<T>(const LinearShape&, const T*, const T*, const T*, Activation,    \
                                  T*, std::size_t);                                                \
  template void linear_input_gradient<T>(const LinearShape&, const T*, const T*, T*, std::size_t); \
  template void linear_update<T>(const LinearShape&, const T*, const T*, const T*,                 \
                                 const MomentumSgd&, T*, T*, T*, T*, std::size_t);                 \
  template void maxout_input_gradient<T>(const LinearShape&, const WinnerDelta<T>&, const T*, T*,  \
                                         std::size_t);                                             \
  template void maxout_update<T>(const LinearShape&, const WinnerDelta<T>&, const T*, const T*,    \
                                 const MomentumSgd&, T*, T*, T*, T*, std::size_t);                 \
  template void activation_delta<T>(std::size_t, std::size_t, const T*, std::size_t, const T*,     \
                                    const DropoutMask&, std::uint64_t, Activation, const T*, T*,   \
                                    std::size_t);
FASTGAN_INSTANTIATE(float)
FASTGAN_INSTANTIATE(double)
#undef FASTGAN_INSTANTIATE

}  // namespace fastgan
