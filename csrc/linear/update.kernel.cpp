#include <algorithm>
#include <cmath>

#include "linear/linear.h"
#include "linear/nonzero.h"
#include "linear/scratch.h"
#include "momentum_sgd/max_norm.h"
#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

#if defined(FASTGAN_VECTOR_512)
constexpr std::size_t kUnits = 8, kVectors = 3;  // 24 sums, 3 inputs and a factor of 32 registers
#else
constexpr std::size_t kUnits = 4, kVectors = 2;  // 8 sums, 2 inputs and a factor of 16 registers
#endif
constexpr std::size_t kSparseVectors = 4;  // sums of one unit that are held together

// A product with zeros left out runs at about a third of the speed of a dense one.
constexpr std::size_t kDenseAdvantage = 3;

// What an update moves: weights and velocities, velocities alone, or velocities that are new: what
// their memory held is not read.
enum class Moves { weights, velocities, new_velocities };

// v <- momentum v - lr g, and w <- w + v if weights move, for a register of numbers, or its first
// n.
template <class T, Moves what>
struct Mover {
  using V = Vector<T>;
  V lr, momentum;

  FASTGAN_INLINE void move(V gradient, T* weight, T* velocity) const {
    const V v = kept([&] { return V::load(velocity); }) - lr * gradient;
    v.store(velocity);
    if constexpr (what == Moves::weights) (V::load(weight) + v).store(weight);
  }
  FASTGAN_INLINE void move_first(V gradient, T* weight, T* velocity, std::size_t n) const {
    const V v = kept([&] { return V::load_first(velocity, n); }) - lr * gradient;
    v.store_first(velocity, n);
    if constexpr (what == Moves::weights) (V::load_first(weight, n) + v).store_first(weight, n);
  }

 private:
  template <class Load>
  FASTGAN_INLINE V kept(const Load& load) const {
    if constexpr (what == Moves::new_velocities) {
      return V::broadcast(T{0});
    } else {
      return momentum * load();
    }
  }
};

// One unit of n_vectors registers, the last of n_last numbers.
template <std::size_t n_vectors, class T, Moves what>
FASTGAN_INLINE void move_all(const Mover<T, what>& mover, const Vector<T>* sum, std::size_t n_last,
                             T* weight, T* velocity) {
  using V = Vector<T>;
#pragma GCC unroll 8
  for (std::size_t v = 0; v + 1 < n_vectors; ++v) {
    mover.move(sum[v], weight + v * V::width, velocity + v * V::width);
  }
  const std::size_t end = (n_vectors - 1) * V::width;
  if (n_last < V::width) {
    mover.move_first(sum[n_vectors - 1], weight + end, velocity + end, n_last);
  } else {
    mover.move(sum[n_vectors - 1], weight + end, velocity + end);
  }
}

// packed (n_rows, n_units): the units' deltas, scaled. next_weight and next_velocity are where the
// tile that follows begins: its memory is asked for a little at a time, while this one is summed.
template <class T, std::size_t n_units, std::size_t n_vectors, Moves what>
FASTGAN_NOINLINE void tile(std::size_t n_rows, const T* __restrict packed,
                           const T* __restrict input, std::size_t stride, std::size_t n_last,
                           const Mover<T, what>& mover, T* __restrict weight,
                           T* __restrict velocity, const T* next_weight, const T* next_velocity) {
  using V = Vector<T>;
  V sum[n_units][n_vectors];
#pragma GCC unroll 8
  for (std::size_t u = 0; u < n_units; ++u) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < n_vectors; ++v) sum[u][v] = V::broadcast(T{0});
  }
  const bool partial = n_last < V::width;
  std::size_t row = 0;
  for (std::size_t part = 0; part < n_units; ++part) {
    // far asked for by the tile before
    if constexpr (what == Moves::weights) prefetch(weight + part * stride, n_vectors * sizeof(V));
    prefetch(velocity + part * stride, n_vectors * sizeof(V));
    if constexpr (what == Moves::weights)
      prefetch_far(next_weight + part * stride, n_vectors * sizeof(V));
    prefetch_far(next_velocity + part * stride, n_vectors * sizeof(V));
    for (const std::size_t end_of_part = n_rows * (part + 1) / n_units; row < end_of_part; ++row) {
      V x[n_vectors];
      const T* from = input + row * stride;
#pragma GCC unroll 8
      for (std::size_t v = 0; v + 1 < n_vectors; ++v) x[v] = V::load(from + v * V::width);
      const T* end = from + (n_vectors - 1) * V::width;
      x[n_vectors - 1] = partial ? V::load_first(end, n_last) : V::load(end);
#pragma GCC unroll 8
      for (std::size_t u = 0; u < n_units; ++u) {
        const V d = V::broadcast(packed[row * n_units + u]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < n_vectors; ++v) sum[u][v] = multiply_add(d, x[v], sum[u][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (std::size_t u = 0; u < n_units; ++u) {
    move_all<n_vectors>(mover, sum[u], n_last, weight + u * stride, velocity + u * stride);
  }
}

// Deltas of a part of the units, scaled, as the tiles read them: kUnits at a time, (n_rows, kUnits)
// each, and what is left over one by one.
template <class T>
void pack(const LinearShape& shape, const T* delta, const T* row_scale, std::size_t first_unit,
          std::size_t n_units, T* packed) {
  for (std::size_t row = 0; row < shape.n_rows; ++row) {
    const T scale = row_scale == nullptr ? T{1} : row_scale[row];
    const T* from = delta + row * shape.n_units + first_unit;
    std::size_t unit = 0;
    for (; unit + kUnits <= n_units; unit += kUnits) {
      T* to = packed + unit * shape.n_rows + row * kUnits;
      for (std::size_t u = 0; u < kUnits; ++u) to[u] = scale * from[unit + u];
    }
    for (; unit < n_units; ++unit) packed[unit * shape.n_rows + row] = scale * from[unit];
  }
}

// Some features of all units, then the next: that slice of the inputs stays in the cache.
template <class T, Moves what>
void dense(const LinearShape& shape, const T* delta, const T* row_scale, const T* input,
           const Mover<T, what>& mover, std::size_t first_unit, std::size_t last_unit, T* weight,
           T* velocity) {
  using V = Vector<T>;
  const std::size_t n_units = last_unit - first_unit;
  thread_local Scratch<T> scratch;
  T* packed = scratch.room_for(shape.n_rows * n_units);
  pack(shape, delta, row_scale, first_unit, n_units, packed);
  for (std::size_t at = 0; at < shape.n_features; at += kVectors * V::width) {
    const std::size_t n = std::min(shape.n_features - at, kVectors * V::width);
    const std::size_t n_vectors = (n + V::width - 1) / V::width;
    const std::size_t n_last = n - (n_vectors - 1) * V::width;
    const auto run = [&]<std::size_t count>() {
      std::size_t unit = 0;
      const auto tiles = [&]<std::size_t height>() {
        for (; unit + height <= n_units; unit += height) {
          const std::size_t here = (first_unit + unit) * shape.n_features + at;
          const bool is_last = unit + height == n_units;
          const std::size_t next =
              is_last ? first_unit * shape.n_features + at + n : here + height * shape.n_features;
          tile<T, height, count>(shape.n_rows, packed + unit * shape.n_rows, input + at,
                                 shape.n_features, n_last, mover, weight + here, velocity + here,
                                 weight + next, velocity + next);
        }
      };
      tiles.template operator()<kUnits>();
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

template <class T, std::size_t n_vectors, Moves what>
FASTGAN_NOINLINE void scatter(const Nonzero<T>* list, std::size_t n_listed,
                              const T* __restrict input, std::size_t stride, std::size_t n_last,
                              const Mover<T, what>& mover, T* __restrict weight,
                              T* __restrict velocity) {
  using V = Vector<T>;
  V sum[n_vectors];
#pragma GCC unroll 8
  for (std::size_t v = 0; v < n_vectors; ++v) sum[v] = V::broadcast(T{0});
  const bool partial = n_last < V::width;
  for (std::size_t i = 0; i < n_listed; ++i) {
    const V d = V::broadcast(list[i].value);
    const T* x = input + list[i].at * stride;
#pragma GCC unroll 8
    for (std::size_t v = 0; v + 1 < n_vectors; ++v) {
      sum[v] = multiply_add(d, V::load(x + v * V::width), sum[v]);
    }
    const T* end = x + (n_vectors - 1) * V::width;
    sum[n_vectors - 1] =
        multiply_add(d, partial ? V::load_first(end, n_last) : V::load(end), sum[n_vectors - 1]);
  }
  move_all<n_vectors>(mover, sum, n_last, weight, velocity);
}

// Lists of the rows in which each of some units has a gradient, scaled; and the sum of each unit's
// gradients, which is the bias's.
template <class T>
struct UnitLists {
  Nonzero<T>* entries = nullptr;  // n_rows places a unit
  std::size_t* counts = nullptr;
  double* sums = nullptr;

  void begin(const LinearShape& shape, std::size_t n_units) {
    entries = of_entries.room_for(n_units * shape.n_rows);
    counts = of_counts.room_for(n_units);
    std::fill_n(counts, n_units, std::size_t{0});
    begin_sums(n_units);
  }

  void begin_sums(std::size_t n_units) {
    sums = of_sums.room_for(n_units);
    std::fill_n(sums, n_units, 0.0);
  }

  FASTGAN_INLINE void add(const LinearShape& shape, std::size_t unit, std::size_t row, T scale,
                          T value) {
    entries[unit * shape.n_rows + counts[unit]++] = {static_cast<std::uint32_t>(row),
                                                     scale * value};
    sums[unit] += static_cast<double>(scale) * static_cast<double>(value);
  }

  void list(const LinearShape& shape, const T* delta, const T* row_scale, std::size_t first_unit,
            std::size_t n_units) {
    begin(shape, n_units);
    for (std::size_t row = 0; row < shape.n_rows; ++row) {
      const T scale = row_scale == nullptr ? T{1} : row_scale[row];
      for_nonzero(delta + row * shape.n_units + first_unit, n_units,
                  [&](std::size_t unit, T value) { add(shape, unit, row, scale, value); });
    }
  }

  void list(const LinearShape& shape, const WinnerDelta<T>& delta, const T* row_scale,
            std::size_t first_unit, std::size_t n_units) {
    begin(shape, n_units);
    const std::size_t n_pieces = delta.n_pieces, n_in_all = shape.n_units / n_pieces;
    for (std::size_t row = 0; row < shape.n_rows; ++row) {
      const T scale = row_scale == nullptr ? T{1} : row_scale[row];
      const std::size_t at = row * n_in_all + first_unit / n_pieces;
      const std::uint8_t* winner = delta.winner + at;
      for_nonzero(delta.values + at, n_units / n_pieces, [&](std::size_t unit, T value) {
        if (winner[unit] >= n_pieces) return;
        add(shape, unit * n_pieces + winner[unit], row, scale, value);
      });
    }
  }

 private:
  Scratch<Nonzero<T>> of_entries;
  Scratch<std::size_t> of_counts;
  Scratch<double> of_sums;
};

template <class T, Moves what>
void sparse(const LinearShape& shape, const UnitLists<T>& lists, const T* input,
            const Mover<T, what>& mover, std::size_t first_unit, std::size_t last_unit, T* weight,
            T* velocity) {
  using V = Vector<T>;
  const std::size_t n_vectors_in_all = (shape.n_features + V::width - 1) / V::width;
  const std::size_t n_blocks = (n_vectors_in_all + kSparseVectors - 1) / kSparseVectors;
  // Some features of all units, then the next: that slice of the inputs stays in the cache.
  for (std::size_t block = 0; block < n_blocks; ++block) {
    const std::size_t from = n_vectors_in_all * block / n_blocks;
    const std::size_t n_vectors = n_vectors_in_all * (block + 1) / n_blocks - from;
    const std::size_t at = from * V::width;
    const std::size_t n_last =
        std::min(V::width, shape.n_features - at - (n_vectors - 1) * V::width);
    const auto run = [&]<std::size_t n>() {
      for (std::size_t unit = first_unit; unit < last_unit; ++unit) {
        const bool is_last = unit + 1 == last_unit;
        const std::size_t here = unit * shape.n_features + at;
        const std::size_t next =
            is_last ? first_unit * shape.n_features + at + n * V::width : here + shape.n_features;
        if constexpr (what == Moves::weights) prefetch_far(weight + next, n * sizeof(V));
        prefetch_far(velocity + next, n * sizeof(V));
        const std::size_t u = unit - first_unit;
        scatter<T, n>(lists.entries + u * shape.n_rows, lists.counts[u], input + at,
                      shape.n_features, n_last, mover, weight + here, velocity + here);
      }
    };
    with_vectors(n_vectors, run);
  }
}

template <class T>
void limit_and_move_bias(const LinearShape& shape, const MomentumSgd& move, const double* sums,
                         std::size_t first_unit, std::size_t last_unit, T* weight, T* bias,
                         T* bias_velocity) {
  if (!move.velocity_only && !std::isinf(move.max_norm)) {
    for (std::size_t unit = first_unit; unit < last_unit; ++unit) {
      limit_norm(move.max_norm, shape.n_features, weight + unit * shape.n_features);
    }
  }
  if (bias == nullptr) return;
  const T lr = static_cast<T>(move.lr), momentum = static_cast<T>(move.momentum);
  for (std::size_t unit = first_unit; unit < last_unit; ++unit) {
    T& v = bias_velocity[unit];
    const T kept = move.velocity_only && momentum == T{0} ? T{0} : momentum * v;
    v = kept - lr * static_cast<T>(sums[unit - first_unit]);
    if (!move.velocity_only) bias[unit] += v;
  }
}

// Calls run(mover), whose kind is settled here: the loops do not ask.
template <class T, class Run>
void with_mover(const MomentumSgd& move, const Run& run) {
  const auto lr = Vector<T>::broadcast(static_cast<T>(move.lr));
  const auto momentum = Vector<T>::broadcast(static_cast<T>(move.momentum));
  if (!move.velocity_only) {
    run(Mover<T, Moves::weights>{lr, momentum});
  } else if (move.momentum != 0.0) {
    run(Mover<T, Moves::velocities>{lr, momentum});
  } else {
    run(Mover<T, Moves::new_velocities>{lr, momentum});
  }
}

template <class T>
void update(const LinearShape& shape, const T* delta, const T* row_scale, const T* input,
            const MomentumSgd& move, std::size_t first_unit, std::size_t last_unit, T* weight,
            T* velocity, T* bias, T* bias_velocity) {
  const std::size_t n_units = last_unit - first_unit;
  std::size_t n_nonzero = 0;
  for (std::size_t row = 0; row < shape.n_rows; ++row) {
    n_nonzero += count_nonzero(delta + row * shape.n_units + first_unit, n_units);
  }
  thread_local UnitLists<T> lists;
  if (n_nonzero * kDenseAdvantage < shape.n_rows * n_units) {
    lists.list(shape, delta, row_scale, first_unit, n_units);
    with_mover<T>(move, [&](const auto& mover) {
      sparse(shape, lists, input, mover, first_unit, last_unit, weight, velocity);
    });
  } else {
    with_mover<T>(move, [&](const auto& mover) {
      dense(shape, delta, row_scale, input, mover, first_unit, last_unit, weight, velocity);
    });
    if (bias != nullptr) {
      lists.begin_sums(n_units);
      double* __restrict sums = lists.sums;
      for (std::size_t row = 0; row < shape.n_rows; ++row) {
        const double scale = row_scale == nullptr ? 1.0 : static_cast<double>(row_scale[row]);
        const T* from = delta + row * shape.n_units + first_unit;
        for (std::size_t u = 0; u < n_units; ++u) sums[u] += scale * static_cast<double>(from[u]);
      }
    }
  }
  limit_and_move_bias(shape, move, lists.sums, first_unit, last_unit, weight, bias, bias_velocity);
}

template <class T>
void update(const LinearShape& shape, const WinnerDelta<T>& delta, const T* row_scale,
            const T* input, const MomentumSgd& move, std::size_t first_unit, std::size_t last_unit,
            T* weight, T* velocity, T* bias, T* bias_velocity) {
  thread_local UnitLists<T> lists;
  lists.list(shape, delta, row_scale, first_unit, last_unit - first_unit);
  with_mover<T>(move, [&](const auto& mover) {
    sparse(shape, lists, input, mover, first_unit, last_unit, weight, velocity);
  });
  limit_and_move_bias(shape, move, lists.sums, first_unit, last_unit, weight, bias, bias_velocity);
}

}  // namespace

void maxout_update_float(const LinearShape& shape, const WinnerDelta<float>& delta,
                         const float* row_scale, const float* input, const MomentumSgd& move,
                         std::size_t first_unit, std::size_t last_unit, float* weight,
                         float* velocity, float* bias, float* bias_velocity) {
  update(shape, delta, row_scale, input, move, first_unit, last_unit, weight, velocity, bias,
         bias_velocity);
}

void maxout_update_double(const LinearShape& shape, const WinnerDelta<double>& delta,
                          const double* row_scale, const double* input, const MomentumSgd& move,
                          std::size_t first_unit, std::size_t last_unit, double* weight,
                          double* velocity, double* bias, double* bias_velocity) {
  update(shape, delta, row_scale, input, move, first_unit, last_unit, weight, velocity, bias,
         bias_velocity);
}

void linear_update_float(const LinearShape& shape, const float* delta, const float* row_scale,
                         const float* input, const MomentumSgd& move, std::size_t first_unit,
                         std::size_t last_unit, float* weight, float* velocity, float* bias,
                         float* bias_velocity) {
  update(shape, delta, row_scale, input, move, first_unit, last_unit, weight, velocity, bias,
         bias_velocity);
}

void linear_update_double(const LinearShape& shape, const double* delta, const double* row_scale,
                          const double* input, const MomentumSgd& move, std::size_t first_unit,
                          std::size_t last_unit, double* weight, double* velocity, double* bias,
                          double* bias_velocity) {
  update(shape, delta, row_scale, input, move, first_unit, last_unit, weight, velocity, bias,
         bias_velocity);
}

}  // namespace fastgan::FASTGAN_LEVEL
