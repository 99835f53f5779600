// What points are sketched in: a centre, the leading directions of the data, and two lattices.
//
// A point x becomes z = scale (x - centre) and then y = (Q^T z, |z - Q Q^T z|): its coordinates
// along orthonormal directions Q and the length of what they leave, the tail. For any two points
//
//     |y_x - y_s| <= |z_x - z_s|
//
// since |Q^T (z_x - z_s)|^2 and the squared length of the rest of z_x - z_s, which is at least the
// difference of the tails (Cauchy and Schwarz), add up to |z_x - z_s|^2. So y, a short vector,
// gives a lower bound of the distance whatever the directions are; good ones make it a close bound.
//
// y is kept on a lattice: a = round(y / step), with radius >= |step a - y|, so that
//
//     step |a_x - a_s| - radius_x - radius_s <= |z_x - z_s|
//
// and |a_x - a_s|^2 is a sum of integers: exact, in any order, at every SIMD level. Two lattices:
//
//     coarse   the first kCoarse - 1 directions and their tail, 8 bits each
//     fine     all directions and their tail, 16 bits each
//
// The coarse one bounds all pairs, the fine one the pairs that the coarse one leaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "distances/points.h"

namespace fastgan {

inline constexpr std::size_t kCoarse = 64;     // numbers of a coarse sketch, the tail the last
inline constexpr std::size_t kMostFine = 192;  // numbers of a fine sketch, at most
inline constexpr int kCoarseMost = 127;        // largest coordinate of a coarse sketch
inline constexpr double kFineMost = 16383.0;   // largest norm of a fine one: differences fit 16
                                               // bits, sums of their squares 32

// Rows that a frame is learned from: more pay where many are sketched in it.
constexpr std::size_t frame_rows(std::size_t n_rows) { return n_rows < 65536 ? 1024 : 2048; }

struct Frame {
  std::size_t n_features = 0;
  std::size_t n_fine = 0;         // numbers of a fine sketch, a multiple of 32
  std::vector<double> centre;     // (n_features)
  double scale = 1.0;             // a power of two that brings the data near 1
  std::vector<float> directions;  // (n_features, n_fine), the last column zero
  double defect = 0.0;            // at least |directions - Q| for an exact Q
  double coarse_step = 1.0, fine_step = 1.0;
  double coarse_tail = 0.0, fine_tail = 0.0;  // subtracted from the tails
  double coarse_radius_limit = 0.0;           // a larger radius makes an outlier

  // Learns a frame from rows of the points, a fixed number at equal distances. The same bits for
  // any number of threads.
  static Frame of(const Points& points, std::size_t n_threads);
};

// Rows at equal distances, copied: as they are, to learn or to probe with.
struct GatheredRows {
  std::vector<std::byte> memory;
  Points points;
  GatheredRows(const Points& from, std::size_t n_rows);
};

}  // namespace fastgan
