#include "maxout_linear/maxout_linear.h"

#include <algorithm>
#include <type_traits>

namespace fastgan::FASTGAN_LEVEL {
namespace {

// Units that are handled together, so that every loop over them has one known length.
constexpr std::size_t kUnits = 64;

template <class T>
using Index = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;  // as wide as T

// One group of at most kUnits units of one row. kPieces is n_pieces where it is known ahead, else
// zero. Piece by piece over all units, without a branch: random data mispredicts one in every other
// unit (2.3 ns a product at five pieces; this takes .3 to .5).
template <class T, std::size_t kPieces>
FASTGAN_INLINE void maximum_of_group(const T* __restrict products, const T* __restrict bias,
                                     std::size_t n_units, std::size_t n_pieces_given,
                                     T* __restrict values, std::uint8_t* __restrict winner) {
  const std::size_t n_pieces = kPieces != 0 ? kPieces : n_pieces_given;
  T best[kUnits];
  Index<T> best_piece[kUnits];
  for (std::size_t unit = 0; unit < n_units; ++unit) {
    best[unit] = products[unit * n_pieces] + bias[unit * n_pieces];
    best_piece[unit] = 0;
  }
  for (std::size_t piece = 1; piece < n_pieces; ++piece) {
    T candidate[kUnits];  // so that the loop that chooses is contiguous: clang branches otherwise
    for (std::size_t unit = 0; unit < n_units; ++unit) {
      candidate[unit] = products[unit * n_pieces + piece] + bias[unit * n_pieces + piece];
    }
    for (std::size_t unit = 0; unit < n_units; ++unit) {
      const T value = candidate[unit], before = best[unit];
      // value > before, or value is the first NaN
      const bool better = !(value <= before) & (before == before);
      best[unit] = better ? value : before;
      best_piece[unit] = better ? static_cast<Index<T>>(piece) : best_piece[unit];
    }
  }
  for (std::size_t unit = 0; unit < n_units; ++unit) {
    values[unit] = best[unit];
    winner[unit] = static_cast<std::uint8_t>(best_piece[unit]);
  }
}

template <class T, std::size_t kPieces>
void forward_rows(const MaxoutShape& shape, const T* products, const T* bias,
                  const DropoutMask& mask, std::uint64_t first, T* values, std::uint8_t* winner) {
  const std::size_t n_units = shape.n_units, n_pieces = shape.n_pieces;
  // Rows are masked together while they are in the first-level cache: a mask of few units a row
  // would make more words than it uses.
  const std::size_t n_together = std::max<std::size_t>(kPhiloxBuffer / n_units, 1);
  for (std::size_t row = 0; row < shape.n_rows; row += n_together) {
    const std::size_t end = std::min(row + n_together, shape.n_rows);
    for (std::size_t r = row; r < end; ++r) {
      for (std::size_t unit = 0; unit < n_units; unit += kUnits) {
        maximum_of_group<T, kPieces>(products + (r * n_units + unit) * n_pieces,
                                     bias + unit * n_pieces, std::min(kUnits, n_units - unit),
                                     n_pieces, values + r * n_units + unit,
                                     winner + r * n_units + unit);
      }
    }
    if (mask.threshold != kKeepAll) {
      T* made = values + row * n_units;
      drop(mask, first + row * n_units, (end - row) * n_units, made, made);
    }
  }
}

template <class T>
void forward(const MaxoutShape& shape, const T* products, const T* bias, const DropoutMask& mask,
             std::uint64_t first, T* values, std::uint8_t* winner) {
  // Strides known ahead: 2 becomes two shuffles, 5 is the paper's.
  if (shape.n_pieces == 2) {
    forward_rows<T, 2>(shape, products, bias, mask, first, values, winner);
  } else if (shape.n_pieces == 5) {
    forward_rows<T, 5>(shape, products, bias, mask, first, values, winner);
  } else {
    forward_rows<T, 0>(shape, products, bias, mask, first, values, winner);
  }
}

template <class T>
void backward(const MaxoutShape& shape, const T* gradient, std::size_t gradient_stride,
              const std::uint8_t* winner, const DropoutMask& mask, std::uint64_t first, T* delta,
              double* bias_sum, T* scratch) {
  const std::size_t n_units = shape.n_units;
  const std::size_t n_pieces = shape.n_pieces, n_columns = shape.n_columns();
  for (std::size_t row = 0; row < shape.n_rows; ++row) {
    const T* __restrict of_values = gradient + row * gradient_stride;
    if (mask.threshold != kKeepAll) {
      drop(mask, first + row * n_units, n_units, of_values, scratch);
      of_values = scratch;
    }
    const std::uint8_t* __restrict won = winner + row * n_units;
    T* __restrict of_pieces = delta + row * n_columns;
    std::fill_n(of_pieces, n_columns, T{0});
    for (std::size_t unit = 0; unit < n_units; ++unit) {
      // a winner beyond the pieces, which only a caller's own array can hold, gets no gradient
      if (won[unit] < n_pieces) of_pieces[unit * n_pieces + won[unit]] = of_values[unit];
    }
    if (bias_sum == nullptr) continue;
    for (std::size_t column = 0; column < n_columns; ++column) {
      bias_sum[column] += static_cast<double>(of_pieces[column]);
    }
  }
}

}  // namespace

void maxout_forward_float(const MaxoutShape& shape, const float* products, const float* bias,
                          const DropoutMask& mask, std::uint64_t first, float* values,
                          std::uint8_t* winner) {
  forward(shape, products, bias, mask, first, values, winner);
}

void maxout_forward_double(const MaxoutShape& shape, const double* products, const double* bias,
                           const DropoutMask& mask, std::uint64_t first, double* values,
                           std::uint8_t* winner) {
  forward(shape, products, bias, mask, first, values, winner);
}

void maxout_backward_float(const MaxoutShape& shape, const float* gradient,
                           std::size_t gradient_stride, const std::uint8_t* winner,
                           const DropoutMask& mask, std::uint64_t first, float* delta,
                           double* bias_sum, float* scratch) {
  backward(shape, gradient, gradient_stride, winner, mask, first, delta, bias_sum, scratch);
}

void maxout_backward_double(const MaxoutShape& shape, const double* gradient,
                            std::size_t gradient_stride, const std::uint8_t* winner,
                            const DropoutMask& mask, std::uint64_t first, double* delta,
                            double* bias_sum, double* scratch) {
  backward(shape, gradient, gradient_stride, winner, mask, first, delta, bias_sum, scratch);
}

}  // namespace fastgan::FASTGAN_LEVEL
