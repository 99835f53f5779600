#include "maxout_linear/maxout_linear.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "common/thread_pool.h"

namespace fastgan {
namespace {

// Below this a thread costs more than it takes over.
constexpr std::size_t kElementsPerThread = 8192;

// Blocks of the bias gradient's sum: a function of n_rows alone. At most 64, as each holds a row of
// doubles; at least 16 rows, so that the merge stays small beside the pass.
std::size_t rows_per_block(std::size_t n_rows) {
  return std::max<std::size_t>(16, (n_rows + 63) / 64);
}

}  // namespace

template <class T>
void maxout_forward(const MaxoutShape& shape, const T* products, const T* bias,
                    const DropoutMask& mask, std::uint64_t first, T* values, std::uint8_t* winner,
                    std::size_t n_threads) {
  const std::size_t min_rows = kElementsPerThread / std::max<std::size_t>(shape.n_columns(), 1) + 1;
  const auto run = [&](auto kernel) {
    parallel_rows(shape.n_rows, min_rows, n_threads, [&](std::size_t begin, std::size_t end) {
      const std::size_t at = begin * shape.n_units;
      kernel({end - begin, shape.n_units, shape.n_pieces}, products + at * shape.n_pieces, bias,
             mask, first + at, values + at, winner + at);
    });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(maxout_forward_float));
  } else {
    run(FASTGAN_DISPATCH(maxout_forward_double));
  }
}

template <class T>
void maxout_backward(const MaxoutShape& shape, const T* gradient, std::size_t gradient_stride,
                     const std::uint8_t* winner, const DropoutMask& mask, std::uint64_t first,
                     T* delta, T* bias_gradient, std::size_t n_threads) {
  const std::size_t n_columns = shape.n_columns();
  const std::size_t n_together = rows_per_block(shape.n_rows);
  const std::size_t n_blocks = (shape.n_rows + n_together - 1) / n_together;
  if (shape.n_rows * n_columns < 2 * kElementsPerThread) n_threads = 1;
  std::vector<double> sums(bias_gradient == nullptr ? 0 : n_blocks * n_columns, 0.0);
  const auto run = [&](auto kernel) {
    parallel_for(n_blocks, n_threads, [&](std::size_t block) {
      const std::size_t begin = block * n_together;
      const std::size_t end = std::min(begin + n_together, shape.n_rows);
      const std::size_t at = begin * shape.n_units;
      std::vector<T> scratch(shape.n_units);
      kernel({end - begin, shape.n_units, shape.n_pieces}, gradient + begin * gradient_stride,
             gradient_stride, winner + at, mask, first + at, delta + at * shape.n_pieces,
             bias_gradient == nullptr ? nullptr : sums.data() + block * n_columns, scratch.data());
    });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(maxout_backward_float));
  } else {
    run(FASTGAN_DISPATCH(maxout_backward_double));
  }
  if (bias_gradient == nullptr) return;
  for (std::size_t block = 1; block < n_blocks; ++block) {
    const double* of_block = sums.data() + block * n_columns;
    for (std::size_t column = 0; column < n_columns; ++column) sums[column] += of_block[column];
  }
  for (std::size_t column = 0; column < n_columns; ++column) {
    bias_gradient[column] = n_blocks == 0 ? T{0} : static_cast<T>(sums[column]);
  }
}

template void maxout_forward<float>(const MaxoutShape&, const float*, const float*,
                                    const DropoutMask&, std::uint64_t, float*, std::uint8_t*,
                                    std::size_t);
template void maxout_forward<double>(const MaxoutShape&, const double*, const double*,
                                     const DropoutMask&, std::uint64_t, double*, std::uint8_t*,
                                     std::size_t);
template void maxout_backward<float>(const MaxoutShape&, const float*, std::size_t,
                                     const std::uint8_t*, const DropoutMask&, std::uint64_t, float*,
                                     float*, std::size_t);
template void maxout_backward<double>(const MaxoutShape&, const double*, std::size_t,
                                      const std::uint8_t*, const DropoutMask&, std::uint64_t,
                                      double*, double*, std::size_t);

}  // namespace fastgan
