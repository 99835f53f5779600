#include <algorithm>
#include <type_traits>

#include "linear/linear.h"
#include "simd/vector_math.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

// Both factors lie along the summed index, so nothing is packed or transposed: a tile of kRows x
// kColumns sums of products, each a register of partial sums, added up across lanes at the end.
#if defined(FASTGAN_VECTOR_512)
constexpr std::size_t kRows = 5, kColumns = 5;  // 25 sums, 5 weights and 1 input of 32 registers
#else
constexpr std::size_t kRows = 4, kColumns = 2;  // 8 sums, 2 weights and 1 input of 16 registers
#endif

// Features whose weights (kColumns rows of them) stay in the first-level cache while all rows of
// the input pass by.
constexpr std::size_t kBlock = 1024;

template <class T, std::size_t n_rows, std::size_t n_columns>
FASTGAN_NOINLINE void tile(const T* __restrict input, const T* __restrict weight,
                           std::size_t stride, std::size_t n_features, bool add,
                           T* __restrict output, std::size_t output_stride) {
  using V = Vector<T>;
  V sum[n_rows][n_columns];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < n_rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t c = 0; c < n_columns; ++c) sum[r][c] = V::broadcast(T{0});
  }
  std::size_t at = 0;
  for (; at + V::width <= n_features; at += V::width) {
    V w[n_columns];
#pragma GCC unroll 8
    for (std::size_t c = 0; c < n_columns; ++c) w[c] = V::load(weight + c * stride + at);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V x = V::load(input + r * stride + at);
#pragma GCC unroll 8
      for (std::size_t c = 0; c < n_columns; ++c) sum[r][c] = multiply_add(x, w[c], sum[r][c]);
    }
  }
  if (at < n_features) {
    const std::size_t rest = n_features - at;
    V w[n_columns];
#pragma GCC unroll 8
    for (std::size_t c = 0; c < n_columns; ++c)
      w[c] = V::load_first(weight + c * stride + at, rest);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V x = V::load_first(input + r * stride + at, rest);
#pragma GCC unroll 8
      for (std::size_t c = 0; c < n_columns; ++c) sum[r][c] = multiply_add(x, w[c], sum[r][c]);
    }
  }
  // Four at a time: one register alone would go through memory.
  constexpr std::size_t n = n_rows * n_columns;
  T total[(n + 3) / 4 * 4];
  const auto at_most = [&](std::size_t i) {
    return i < n ? sum[i / n_columns][i % n_columns] : V::broadcast(T{0});
  };
#pragma GCC unroll 8
  for (std::size_t i = 0; i < n; i += 4) {
    reduce_add_4(at_most(i), at_most(i + 1), at_most(i + 2), at_most(i + 3), total + i);
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < n_rows; ++r) {
#pragma GCC unroll 8
    for (std::size_t c = 0; c < n_columns; ++c) {
      T& out = output[r * output_stride + c];
      out = add ? out + total[r * n_columns + c] : total[r * n_columns + c];
    }
  }
}

// All rows by n_columns units. The weights of the units that follow are asked for in equal parts,
// while these are worked on.
template <class T, std::size_t n_columns>
void column(const LinearShape& shape, const T* input, const T* weight, std::size_t n_features,
            bool add, T* output) {
  const T* next = weight + n_columns * shape.n_features;
  const auto ask = [&](std::size_t row, std::size_t n_rows) {
    const std::size_t begin = n_features * row / shape.n_rows;
    const std::size_t end = n_features * std::min(row + n_rows, shape.n_rows) / shape.n_rows;
    for (std::size_t c = 0; c < n_columns; ++c) {
      prefetch_far(next + c * shape.n_features + begin, (end - begin) * sizeof(T));
    }
  };
  std::size_t row = 0;
  for (; row + kRows <= shape.n_rows; row += kRows) {
    ask(row, kRows);
    tile<T, kRows, n_columns>(input + row * shape.n_features, weight, shape.n_features, n_features,
                              add, output + row * shape.n_units, shape.n_units);
  }
  for (; row < shape.n_rows; ++row) {
    ask(row, 1);
    tile<T, 1, n_columns>(input + row * shape.n_features, weight, shape.n_features, n_features, add,
                          output + row * shape.n_units, shape.n_units);
  }
}

template <class T>
void activate(Activation activation, const T* bias, std::size_t n, T* __restrict values) {
  if (bias != nullptr) {
    for (std::size_t i = 0; i < n; ++i) values[i] += bias[i];
  }
  if (activation == Activation::relu) {
    // as torch: NaN stays NaN
    for (std::size_t i = 0; i < n; ++i) values[i] = values[i] <= T{0} ? T{0} : values[i];
  } else if (activation == Activation::sigmoid) {
    constexpr std::size_t kTogether = 64;
    for (std::size_t at = 0; at < n; at += kTogether) {
      const std::size_t m = std::min(kTogether, n - at);
      T exponential[kTogether] = {};
      for (std::size_t i = 0; i < m; ++i) {
        const T x = values[at + i];
        exponential[i] = x < T{0} ? x : -x;
      }
      for (std::size_t i = 0; i < m; i += Vector<T>::width) {
        exp_nonpositive(Vector<T>::load(exponential + i)).store(exponential + i);
      }
      for (std::size_t i = 0; i < m; ++i) {
        const T x = values[at + i], e = exponential[i];
        const T value = (x < T{0} ? e : T{1}) / (T{1} + e);
        values[at + i] = x == x ? value : x;
      }
    }
  }
}

template <class T>
void forward(const LinearShape& shape, const T* input, const T* weight, const T* bias,
             Activation activation, std::size_t first_unit, std::size_t last_unit, T* output) {
  for (std::size_t at = 0; at < shape.n_features; at += kBlock) {
    const std::size_t n_features = std::min(kBlock, shape.n_features - at);
    std::size_t unit = first_unit;
    for (; unit + kColumns <= last_unit; unit += kColumns) {
      column<T, kColumns>(shape, input + at, weight + unit * shape.n_features + at, n_features,
                          at > 0, output + unit);
    }
    for (; unit < last_unit; ++unit) {
      column<T, 1>(shape, input + at, weight + unit * shape.n_features + at, n_features, at > 0,
                   output + unit);
    }
  }
  if (bias == nullptr && activation == Activation::linear) return;
  for (std::size_t row = 0; row < shape.n_rows; ++row) {
    activate(activation, bias == nullptr ? nullptr : bias + first_unit, last_unit - first_unit,
             output + row * shape.n_units + first_unit);
  }
}

}  // namespace

void linear_forward_float(const LinearShape& shape, const float* input, const float* weight,
                          const float* bias, Activation activation, std::size_t first_unit,
                          std::size_t last_unit, float* output) {
  forward(shape, input, weight, bias, activation, first_unit, last_unit, output);
}

void linear_forward_double(const LinearShape& shape, const double* input, const double* weight,
                           const double* bias, Activation activation, std::size_t first_unit,
                           std::size_t last_unit, double* output) {
  forward(shape, input, weight, bias, activation, first_unit, last_unit, output);
}

}  // namespace fastgan::FASTGAN_LEVEL
