// Sketches of points: see frame.h for what they are and why they bound distances.
//
// Samples lie in panels of kPanelRows rows, so that one register holds four coordinates of each of
// 16 rows; queries lie row by row. Everything is integers and radii, the same at every SIMD level
// up to the rounding of the projection, which the radii cover.
//
// The projection's error. For a packed row z' = float32(scale (x - centre)), |z' - z| <= u |z|; the
// product with the directions is a two-level sum of kChunk and n_chunks terms, so that a coordinate
// is off by at most g |z'| |v| with g = (kChunk + n_chunks + 2) u, and all of them together, with
// the directions' own defect, by
//
//     e = (g sqrt(n_fine) (1 + defect) + defect + 4 u) |z'|
//
// The tail is sqrt(|z'|^2 - |y|^2): its square is off by at most e (2 |z'| + e), itself by
// min(sqrt of that, that / tail). A radius is the rounding to the lattice, measured, plus both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "distances/points.h"
#include "index/frame.h"
#include "simd/dispatch.h"

namespace fastgan {

inline constexpr std::size_t kPanelRows = 32;

// Pointers into the memory of a set of sketches. coarse_panels[panel][kCoarse / 4][row][4], plus
// 128 to be unsigned; coarse_rows[row][kCoarse], signed.
struct Sketches {
  std::size_t n_rows = 0;
  std::size_t n_fine = 0;
  std::uint8_t* coarse_panels = nullptr;  // samples only
  std::int8_t* coarse_rows = nullptr;     // queries only
  std::int32_t* coarse_norms = nullptr;   // |a|^2
  std::int32_t* coarse_sums = nullptr;    // the sum of a's coordinates; queries only
  float* coarse_radii = nullptr;
  std::int16_t* fine = nullptr;  // (n_rows, n_fine)
  float* fine_radii = nullptr;
};

struct SketchTask {
  Points points;
  const double* centre;
  const float* directions;
  double scale, defect, coarse_step, fine_step, coarse_tail, fine_tail;
  std::size_t first, last;  // a multiple of kPanelRows, and the end
  Sketches sketches;
};

FASTGAN_DECLARE_KERNEL(void, sketch_rows, (const SketchTask& task))

// One row's numbers before they go to the lattice: (n_rows, n_fine) and the tails (n_rows, 2).
struct ProjectionTask {
  Points points;
  const double* centre;
  const float* directions;
  double scale, defect;
  std::size_t n_fine;
  std::size_t first, last;
  float* coordinates;
  double* tails;
};

FASTGAN_DECLARE_KERNEL(void, project_rows, (const ProjectionTask& task))

}  // namespace fastgan
