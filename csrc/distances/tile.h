// Approximate squared distances, tile by tile, with a bound of their error.
//
// Both sets are centred (any centre is right; the mean keeps numbers small), rounded to T and
// packed: samples into panels of kPanel columns, queries into strips of kStrip rows, both with the
// feature as the slow index. A tile is one strip of queries against up to kTileSamples samples:
//
//     d2 = (|x|^2 + |s|^2) - 2 x.s
//
// The product runs in registers and is summed in two levels (kChunk features, then the chunks), so
// that its error grows with kChunk + n_features / kChunk instead of n_features. With u the unit
// roundoff of T, |x| the norm of a centred query and S the largest norm of a centred sample in the
// tile,
//
//     |d2 - true d2| <= A = 1.01 u (2 (kChunk + n_chunks + 2) |x| S + 7 (|x| + S)^2)
//
// where the first term is the product (a chain of kChunk fused or 2 kChunk plain operations, then
// n_chunks additions, on terms whose absolute sum is at most |x| S), and the second adds what
// rounding the centred numbers does (2 (|x| + S)^2 u), what putting d2 together does (3 of them)
// and two more for those who round a d2, or what they compare it with, once more. tests/ops/
// test_distances.py measures the error beside this bound.
//
// What comes out for a pair depends on that pair, the centre and the tile's S alone: not on which
// queries share its strip, and not on who computes it.
#pragma once

#include <limits>
#include <memory>
#include <new>

#include "common/cancel.h"
#include "distances/points.h"
#include "simd/vector_math.h"

namespace fastgan::FASTGAN_LEVEL {

// Uninitialised, aligned memory for numbers.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t size)
      : data_(static_cast<T*>(
            ::operator new(std::max<std::size_t>(size, 1) * sizeof(T), std::align_val_t{64}))) {}
  ~Buffer() { ::operator delete(data_, std::align_val_t{64}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }
  T& operator[](std::size_t index) const { return data_[index]; }

 private:
  T* data_;
};

#if defined(FASTGAN_VECTOR_512)
inline constexpr std::size_t kStrip = 12;  // 12 x 2 accumulators, 2 columns, of 32 registers
#elif defined(FASTGAN_VECTOR_256)
inline constexpr std::size_t kStrip = 6;  // 6 x 2 accumulators, 2 columns, 1 row, of 16
#else
inline constexpr std::size_t kStrip = 4;
#endif
inline constexpr std::size_t kChunk = 64;

template <class T>
struct Tile {
  using V = Vector<T>;
  static constexpr std::size_t kPanel = 2 * V::width;
  static constexpr T kUnit = std::numeric_limits<T>::epsilon() / 2;

  // Samples in a tile: about 1 MiB of packed numbers, so that they stay in the second-level cache
  // while all strips of a task pass over them.
  static std::size_t samples_in(std::size_t n_features) {
    const std::size_t fit = (std::size_t{1} << 20) / (sizeof(T) * n_features);
    return std::clamp<std::size_t>(fit / kPanel * kPanel, kPanel, 2048);
  }

  static double allowance(double query_norm, double largest_norm, std::size_t n_features) {
    const double n_chunks = static_cast<double>((n_features + kChunk - 1) / kChunk);
    const double sum = query_norm + largest_norm;
    return 1.01 * static_cast<double>(kUnit) *
               (2.0 * (static_cast<double>(kChunk) + n_chunks + 2.0) * query_norm * largest_norm +
                7.0 * sum * sum) +
           static_cast<double>(n_features) * static_cast<double>(std::numeric_limits<T>::min());
  }
};

template <std::size_t kWidth, class T, class In>
FASTGAN_INLINE void centre_and_scale(const In* from, const double* centre, double scale, T* to,
                                     double* squares) {
  for (std::size_t i = 0; i < kWidth; ++i) {
    to[i] = static_cast<T>((static_cast<double>(from[i]) - centre[i]) * scale);
    squares[i] += static_cast<double>(to[i]) * static_cast<double>(to[i]);
  }
}

// Centres, scales, rounds and packs n rows, padded with zero rows to a multiple of `lanes`, as
// packed[group][feature][lane]; squared_norms (of what was packed) get one float64 a row.
template <class T, class In>
void pack(const In* rows, std::size_t n, std::size_t n_features, const double* centre,
          std::size_t lanes, T* packed, double* squared_norms, double scale = 1.0) {
  constexpr std::size_t kBlock = 16;
  T block[64][kBlock];         // lanes <= 64
  double squares[64][kBlock];  // sums over features, kBlock apart
  for (std::size_t group = 0; group < n; group += lanes) {
    const std::size_t n_here = std::min(lanes, n - group);
    T* target = packed + group * n_features;
    std::fill(squares[0], squares[0] + n_here * kBlock, 0.0);
    std::fill(block[0], block[0] + lanes * kBlock, T{0});
    for (std::size_t feature = 0; feature < n_features; feature += kBlock) {
      const std::size_t width = std::min(kBlock, n_features - feature);
      for (std::size_t lane = 0; lane < n_here; ++lane) {
        const In* from = rows + (group + lane) * n_features + feature;
        if (width == kBlock) {  // a length that the compiler knows: whole registers
          centre_and_scale<kBlock>(from, centre + feature, scale, block[lane], squares[lane]);
        } else {
          for (std::size_t i = 0; i < width; ++i) {
            centre_and_scale<1>(from + i, centre + feature + i, scale, block[lane] + i,
                                squares[lane] + i);
          }
        }
      }
      for (std::size_t i = 0; i < width; ++i) {
        for (std::size_t lane = 0; lane < lanes; ++lane) {
          target[(feature + i) * lanes + lane] = block[lane][i];
        }
      }
    }
    for (std::size_t lane = 0; lane < n_here; ++lane) {
      double sum = 0.0;
      for (std::size_t i = 0; i < kBlock; ++i) sum += squares[lane][i];
      squared_norms[group + lane] = sum;
    }
  }
}

// products[row][0 .. kPanel) = strip row . panel columns over at most kChunk features, added to
// what is there if `carry`; product rows lie `stride` apart, the panel's features panel_stride.
template <class T>
FASTGAN_INLINE void multiply_chunk(const T* strip, const T* panel, std::size_t n_features,
                                   std::size_t panel_stride, T* products, std::size_t stride,
                                   bool carry) {
  using V = Vector<T>;
  V sum0[kStrip], sum1[kStrip];
  for (std::size_t row = 0; row < kStrip; ++row) {
    sum0[row] = V::broadcast(T{0});
    sum1[row] = V::broadcast(T{0});
  }
  for (std::size_t feature = 0; feature < n_features; ++feature) {
    const V column0 = V::load(panel + feature * panel_stride);
    const V column1 = V::load(panel + feature * panel_stride + V::width);
    const T* numbers = strip + feature * kStrip;
    for (std::size_t row = 0; row < kStrip; ++row) {
      const V number = V::broadcast(numbers[row]);
      sum0[row] = multiply_add(number, column0, sum0[row]);
      sum1[row] = multiply_add(number, column1, sum1[row]);
    }
  }
  for (std::size_t row = 0; row < kStrip; ++row) {
    T* target = products + row * stride;
    if (carry) {
      sum0[row] = V::load(target) + sum0[row];
      sum1[row] = V::load(target + V::width) + sum1[row];
    }
    sum0[row].store(target);
    sum1[row].store(target + V::width);
  }
}

// The same over any number of features, chunk by chunk.
template <class T>
FASTGAN_INLINE void multiply_panel(const T* strip, const T* panel, std::size_t n_features,
                                   T* products, std::size_t stride,
                                   std::size_t panel_stride = Tile<T>::kPanel) {
  for (std::size_t start = 0; start < n_features; start += kChunk) {
    multiply_chunk<T>(strip + start * kStrip, panel + start * panel_stride,
                      std::min(kChunk, n_features - start), panel_stride, products, stride,
                      start > 0);
  }
}

// One tile of samples, packed.
template <class T, class In>
class SampleTile {
 public:
  explicit SampleTile(std::size_t n_features)
      : n_features_(n_features),
        capacity_(Tile<T>::samples_in(n_features)),
        packed_(capacity_ * n_features),
        squared_norms_(capacity_),
        rounded_norms_(capacity_) {}

  std::size_t capacity() const { return capacity_; }
  std::size_t n_samples() const { return n_samples_; }
  // n_samples rounded up to whole panels: rows of distances have this many columns.
  std::size_t n_columns() const { return n_columns_; }
  double largest_norm() const { return largest_norm_; }

  void load(const Points& samples, std::size_t first, std::size_t n, const double* centre) {
    constexpr std::size_t kPanel = Tile<T>::kPanel;
    n_samples_ = n;
    n_columns_ = (n + kPanel - 1) / kPanel * kPanel;
    pack<T, In>(samples.row<In>(first), n, n_features_, centre, kPanel, packed_.get(),
                squared_norms_.get());
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, squared_norms_[i]);
    largest_norm_ = std::sqrt(largest);
    for (std::size_t i = 0; i < n_columns_; ++i) {
      rounded_norms_[i] =
          i < n ? static_cast<T>(squared_norms_[i]) : std::numeric_limits<T>::infinity();
    }
  }

  // distances[row][column], rows `capacity()` apart; a padding column gets infinity.
  void distances(const T* strip, const double* query_squared_norms, std::size_t n_rows,
                 T* out) const {
    using V = Vector<T>;
    constexpr std::size_t kPanel = Tile<T>::kPanel;
    for (std::size_t column = 0; column < n_columns_; column += kPanel) {
      multiply_panel<T>(strip, packed_.get() + column * n_features_, n_features_, out + column,
                        capacity_);
    }
    const V minus_two = V::broadcast(T{-2});
    const V zero = V::broadcast(T{0});
    for (std::size_t row = 0; row < n_rows; ++row) {
      const V own = V::broadcast(static_cast<T>(query_squared_norms[row]));
      T* target = out + row * capacity_;
      for (std::size_t column = 0; column < n_columns_; column += V::width) {
        const V both = own + V::load(rounded_norms_.get() + column);
        const V d2 = V::load(target + column) * minus_two + both;
        maximum(d2, zero).store(target + column);
      }
    }
  }

 private:
  std::size_t n_features_, capacity_;
  std::size_t n_samples_ = 0, n_columns_ = 0;
  double largest_norm_ = 0.0;
  Buffer<T> packed_;
  Buffer<double> squared_norms_;
  Buffer<T> rounded_norms_;
};

// A range of queries, packed strip by strip. A query that T cannot hold (its norm is not finite or
// past sqrt(largest) / 16) is packed as zeros and marked: its allowance is infinite, so that every
// one of its pairs is scored exactly.
template <class T, class In>
class QueryStrips {
 public:
  QueryStrips(const Points& queries, std::size_t first, std::size_t n, const double* centre)
      : n_(n),
        n_features_(queries.n_features),
        packed_((n + kStrip - 1) / kStrip * kStrip * queries.n_features),
        squared_norms_(n) {
    pack<T, In>(queries.row<In>(first), n, n_features_, centre, kStrip, packed_.get(),
                squared_norms_.get());
    const double limit = static_cast<double>(std::numeric_limits<T>::max()) / 256.0;
    for (std::size_t i = 0; i < n; ++i) {
      if (squared_norms_[i] < limit) continue;
      squared_norms_[i] = std::numeric_limits<double>::infinity();
      T* strip = packed_.get() + i / kStrip * kStrip * n_features_;
      for (std::size_t feature = 0; feature < n_features_; ++feature) {
        strip[feature * kStrip + i % kStrip] = T{0};
      }
    }
  }

  std::size_t size() const { return n_; }
  const T* strip(std::size_t first) const { return packed_.get() + first * n_features_; }
  const double* squared_norms(std::size_t first) const { return squared_norms_.get() + first; }

 private:
  std::size_t n_, n_features_;
  Buffer<T> packed_;
  Buffer<double> squared_norms_;
};

// The smallest of n_columns (whole vectors) distances.
template <class T>
FASTGAN_INLINE T smallest(const T* distances, std::size_t n_columns) {
  using V = Vector<T>;
  V least = V::load(distances);
  for (std::size_t column = V::width; column < n_columns; column += V::width) {
    least = minimum(least, V::load(distances + column));
  }
  return reduce_min(least);
}

// Calls visit(column) for every distance that is at most `limit`, in ascending order of columns.
template <class T, class Visit>
FASTGAN_INLINE void for_each_within(const T* distances, std::size_t n_columns, T limit,
                                    Visit&& visit) {
  using V = Vector<T>;
  const V bound = V::broadcast(limit);
  for (std::size_t column = 0; column < n_columns; column += V::width) {
    std::uint32_t mask = less_equal(V::load(distances + column), bound);
    for (std::size_t lane = 0; mask != 0; ++lane, mask >>= 1) {
      if (mask & 1u) visit(column + lane);
    }
  }
}

// The smallest T that is not below `value`; the largest finite one where there is none.
template <class T>
T round_up(double value) {
  if (value >= static_cast<double>(std::numeric_limits<T>::max())) {
    return std::numeric_limits<T>::max();
  }
  const T rounded = static_cast<T>(value);
  return static_cast<double>(rounded) < value
             ? std::nextafter(rounded, std::numeric_limits<T>::infinity())
             : rounded;
}

struct Range {
  std::size_t first, last;
};

// The one way through all pairs: samples tile by tile, and over each tile strip by strip of
// queries. Calls visit(query, distances, tile, first_sample, allowance) once for every query (a row
// of `queries`) and tile, in this order for each query; distances holds tile.n_columns() numbers,
// which the visitor may change. Tiles start at samples.first and have a fixed size. Between strips
// the call's flag is looked at.
template <class T, class In, class Visit>
void scan(const Points& queries, Range query_rows, const Points& samples, Range sample_rows,
          const double* centre, Visit&& visit) {
  const std::size_t n_features = samples.n_features;
  const QueryStrips<T, In> strips(queries, query_rows.first, query_rows.last - query_rows.first,
                                  centre);
  SampleTile<T, In> tile(n_features);
  const Buffer<T> distances(kStrip * tile.capacity());
  for (std::size_t first = sample_rows.first; first < sample_rows.last; first += tile.capacity()) {
    tile.load(samples, first, std::min(tile.capacity(), sample_rows.last - first), centre);
    for (std::size_t strip = 0; strip < strips.size(); strip += kStrip) {
      check_cancelled();
      const std::size_t n_rows = std::min(kStrip, strips.size() - strip);
      tile.distances(strips.strip(strip), strips.squared_norms(strip), n_rows, distances.get());
      for (std::size_t row = 0; row < n_rows; ++row) {
        const double norm = std::sqrt(strips.squared_norms(strip)[row]);
        visit(query_rows.first + strip + row, distances.get() + row * tile.capacity(), tile, first,
              Tile<T>::allowance(norm, tile.largest_norm(), n_features));
      }
    }
  }
}

}  // namespace fastgan::FASTGAN_LEVEL
