#include <algorithm>

#include "linear/linear.h"
#include "linear/nonzero.h"
#include "linear/scratch.h"
#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

#if defined(FASTGAN_VECTOR_512)
constexpr std::size_t kRows = 8, kVectors = 3;  // 24 sums, 3 weights and a factor of 32 registers
#else
constexpr std::size_t kRows = 4, kVectors = 2;  // 8 sums, 2 weights and a factor of 16 registers
#endif
constexpr std::size_t kSparseVectors = 8;  // sums of one row that are held together

// Units that are summed one after the other; the sums of such blocks are then added in order, so
// that thousands of units leave no larger rounding error than some hundred. The weights of a block
// (a panel of kVectors registers' width) are packed together, near at hand while all rows pass by.
constexpr std::size_t kBlock = 256;

// gradient[r, :] += sum_u delta[r, u] panel[u, :] for n_rows rows and n_vectors registers, of which
// the last holds n_last numbers.
template <class T, std::size_t n_rows, std::size_t n_vectors>
FASTGAN_NOINLINE void tile(const T* __restrict delta, std::size_t delta_stride, std::size_t n_units,
                           const T* __restrict panel, bool add, std::size_t n_last,
                           T* __restrict gradient, std::size_t stride) {
  using V = Vector<T>;
  V sum[n_rows][n_vectors];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < n_rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < n_vectors; ++v) sum[r][v] = V::broadcast(T{0});
  }
  for (std::size_t unit = 0; unit < n_units; ++unit) {
    V w[n_vectors];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < n_vectors; ++v) {
      w[v] = V::load(panel + (unit * n_vectors + v) * V::width);
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V d = V::broadcast(delta[r * delta_stride + unit]);
#pragma GCC unroll 8
      for (std::size_t v = 0; v < n_vectors; ++v) sum[r][v] = multiply_add(d, w[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < n_rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < n_vectors; ++v) {
      T* to = gradient + r * stride + v * V::width;
      if (v + 1 == n_vectors && n_last < V::width) {
        (add ? V::load_first(to, n_last) + sum[r][v] : sum[r][v]).store_first(to, n_last);
      } else {
        (add ? V::load(to) + sum[r][v] : sum[r][v]).store(to);
      }
    }
  }
}

// The weights of n_units units, features [first, first + n), as the tiles read them: panel after
// panel of kVectors registers' width, (n_units, width) each, the last one narrower.
template <class T>
void pack(const LinearShape& shape, const T* weight, std::size_t n_units, std::size_t first,
          std::size_t n, T* packed) {
  using V = Vector<T>;
  for (std::size_t unit = 0; unit < n_units; ++unit) {
    const T* from = weight + unit * shape.n_features + first;
    for (std::size_t at = 0; at < n; at += V::width) {
      const std::size_t panel = at / (kVectors * V::width) * kVectors;  // registers before it
      const std::size_t in_all = (n + V::width - 1) / V::width;
      const std::size_t n_vectors = std::min(kVectors, in_all - panel);
      const std::size_t v = at / V::width - panel;
      (n - at < V::width ? V::load_first(from + at, n - at) : V::load(from + at))
          .store(packed + (panel * n_units + unit * n_vectors + v) * V::width);
    }
  }
}

template <class T>
void dense(const LinearShape& shape, const T* delta, const T* weight, std::size_t first,
           std::size_t last, T* gradient) {
  using V = Vector<T>;
  constexpr std::size_t kWidth = kVectors * V::width;
  thread_local Scratch<T> scratch;
  const std::size_t n = last - first;
  T* packed = scratch.room_for(std::min(kBlock, shape.n_units) * ((n + V::width - 1) / V::width) *
                               V::width);
  for (std::size_t at = 0; at < shape.n_units; at += kBlock) {
    const std::size_t n_units = std::min(kBlock, shape.n_units - at);
    pack(shape, weight + at * shape.n_features, n_units, first, n, packed);
    for (std::size_t column = 0; column < n; column += kWidth) {
      const std::size_t n_vectors = std::min(kVectors, (n - column + V::width - 1) / V::width);
      const std::size_t n_last = std::min(V::width, n - column - (n_vectors - 1) * V::width);
      const auto run = [&]<std::size_t count>() {
        std::size_t row = 0;
        const auto tiles = [&]<std::size_t n_rows>() {
          for (; row + n_rows <= shape.n_rows; row += n_rows) {
            // The block that follows is asked for in equal parts, while this one is worked on.
            const std::size_t end = std::min(row + n_rows, shape.n_rows);
            const std::size_t n_next = std::min(kBlock, shape.n_units - at - n_units);
            for (std::size_t unit = n_next * row / shape.n_rows; unit < n_next * end / shape.n_rows;
                 ++unit) {
              prefetch_far(weight + (at + n_units + unit) * shape.n_features + first + column,
                           count * sizeof(V));
            }
            tile<T, n_rows, count>(delta + row * shape.n_units + at, shape.n_units, n_units,
                                   packed + column * n_units, at > 0, n_last,
                                   gradient + row * shape.n_features + first + column,
                                   shape.n_features);
          }
        };
        tiles.template operator()<kRows>();
        tiles.template operator()<kRows / 2>();
        tiles.template operator()<1>();
      };
      if (n_vectors == kVectors) {
        run.template operator()<kVectors>();
      } else if (n_vectors == 2) {
        run.template operator()<2>();
      } else {
        run.template operator()<1>();
      }
    }
  }
}

// The same sum over the units of a list, from its i-th on and before last_unit. Returns where in
// the list that is.
template <class T, std::size_t n_vectors>
FASTGAN_NOINLINE std::size_t gather(const Nonzero<T>* list, std::size_t i, std::size_t n_listed,
                                    std::size_t last_unit, const T* __restrict weight,
                                    std::size_t stride, bool add, std::size_t n_last,
                                    T* __restrict gradient) {
  using V = Vector<T>;
  const bool partial = n_last < V::width;
  V sum[n_vectors];
#pragma GCC unroll 8
  for (std::size_t v = 0; v < n_vectors; ++v) sum[v] = V::broadcast(T{0});
  for (; i < n_listed && list[i].at < last_unit; ++i) {
    const V d = V::broadcast(list[i].value);
    const T* w = weight + list[i].at * stride;
#pragma GCC unroll 8
    for (std::size_t v = 0; v + 1 < n_vectors; ++v) {
      sum[v] = multiply_add(d, V::load(w + v * V::width), sum[v]);
    }
    const T* end = w + (n_vectors - 1) * V::width;
    sum[n_vectors - 1] =
        multiply_add(d, partial ? V::load_first(end, n_last) : V::load(end), sum[n_vectors - 1]);
  }
#pragma GCC unroll 8
  for (std::size_t v = 0; v < n_vectors; ++v) {
    T* to = gradient + v * V::width;
    if (v + 1 == n_vectors && partial) {
      (add ? V::load_first(to, n_last) + sum[v] : sum[v]).store_first(to, n_last);
    } else {
      (add ? V::load(to) + sum[v] : sum[v]).store(to);
    }
  }
  return i;
}

// A block of units, row by row the weights of those that are listed, then the next block: its
// weights stay in the cache while all rows pass by.
template <class T>
void sparse(const LinearShape& shape, const NonzeroRows<T>& rows, const T* weight,
            std::size_t first, std::size_t last, T* gradient) {
  using V = Vector<T>;
  thread_local Scratch<std::size_t> scratch;
  std::size_t* done = scratch.room_for(shape.n_rows);  // of each row's list
  while (first < last) {
    const std::size_t n = std::min(last - first, kSparseVectors * V::width);
    const std::size_t n_vectors = (n + V::width - 1) / V::width;
    const std::size_t n_last = n - (n_vectors - 1) * V::width;
    const auto run = [&]<std::size_t count>() {
      std::fill_n(done, shape.n_rows, std::size_t{0});
      for (std::size_t unit = 0; unit < shape.n_units; unit += kBlock) {
        for (std::size_t row = 0; row < shape.n_rows; ++row) {
          done[row] =
              gather<T, count>(rows.lists + row * shape.n_units, done[row], rows.counts[row],
                               unit + kBlock, weight + first, shape.n_features, unit > 0, n_last,
                               gradient + row * shape.n_features + first);
        }
      }
    };
    with_vectors(n_vectors, run);
    first += n;
  }
}

template <class T>
void list_rows(const LinearShape& shape, const T* delta, std::size_t first_row,
               std::size_t last_row, const NonzeroRows<T>& rows) {
  for (std::size_t row = first_row; row < last_row; ++row) {
    rows.counts[row] =
        list_nonzero(delta + row * shape.n_units, shape.n_units, rows.lists + row * shape.n_units);
  }
}

template <class T>
void list_winners(const LinearShape& shape, const WinnerDelta<T>& delta, std::size_t first_row,
                  std::size_t last_row, const NonzeroRows<T>& rows) {
  const std::size_t n_units = shape.n_units / delta.n_pieces;
  for (std::size_t row = first_row; row < last_row; ++row) {
    const std::uint8_t* winner = delta.winner + row * n_units;
    Nonzero<T>* list = rows.lists + row * shape.n_units;
    std::size_t n_listed = 0;
    for_nonzero(delta.values + row * n_units, n_units, [&](std::size_t unit, T value) {
      if (winner[unit] >= delta.n_pieces) return;
      list[n_listed++] = {static_cast<std::uint32_t>(unit * delta.n_pieces + winner[unit]), value};
    });
    rows.counts[row] = n_listed;
  }
}

}  // namespace

void maxout_list_float(const LinearShape& shape, const WinnerDelta<float>& delta,
                       std::size_t first_row, std::size_t last_row,
                       const NonzeroRows<float>& rows) {
  list_winners(shape, delta, first_row, last_row, rows);
}

void maxout_list_double(const LinearShape& shape, const WinnerDelta<double>& delta,
                        std::size_t first_row, std::size_t last_row,
                        const NonzeroRows<double>& rows) {
  list_winners(shape, delta, first_row, last_row, rows);
}

void linear_list_float(const LinearShape& shape, const float* delta, std::size_t first_row,
                       std::size_t last_row, const NonzeroRows<float>& rows) {
  list_rows(shape, delta, first_row, last_row, rows);
}

void linear_list_double(const LinearShape& shape, const double* delta, std::size_t first_row,
                        std::size_t last_row, const NonzeroRows<double>& rows) {
  list_rows(shape, delta, first_row, last_row, rows);
}

void linear_input_gradient_float(const LinearShape& shape, const float* delta,
                                 const NonzeroRows<float>& rows, const float* weight,
                                 std::size_t first, std::size_t last, float* gradient) {
  if (rows.lists != nullptr) {
    sparse(shape, rows, weight, first, last, gradient);
  } else {
    dense(shape, delta, weight, first, last, gradient);
  }
}

void linear_input_gradient_double(const LinearShape& shape, const double* delta,
                                  const NonzeroRows<double>& rows, const double* weight,
                                  std::size_t first, std::size_t last, double* gradient) {
  if (rows.lists != nullptr) {
    sparse(shape, rows, weight, first, last, gradient);
  } else {
    dense(shape, delta, weight, first, last, gradient);
  }
}

std::size_t count_nonzero_float(const float* values, std::size_t n) {
  return count_nonzero(values, n);
}

std::size_t count_nonzero_double(const double* values, std::size_t n) {
  return count_nonzero(values, n);
}

}  // namespace fastgan::FASTGAN_LEVEL
