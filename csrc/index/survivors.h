// What a pass over an index takes and counts; for every file.
#pragma once

#include "index/sketch.h"

namespace fastgan {

struct IndexScan {
  Sketches queries, samples;
  double scale;
  double coarse_step, fine_step, coarse_radius_limit;
  Own own;
};

// How many pairs the coarse and the fine sketches left.
struct Survivors {
  std::size_t coarse = 0, fine = 0;
};

}  // namespace fastgan
