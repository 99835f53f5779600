// Sketches with their memory.
#pragma once

#include <memory>
#include <new>

#include "index/frame.h"
#include "index/survivors.h"

namespace fastgan {

enum class Role { queries, samples };

class SketchSet {
 public:
  // Sketches every row of the points, which must stay where they are.
  SketchSet(std::shared_ptr<const Frame> frame, const Points& points, Role role,
            std::size_t n_threads);

  const Frame& frame() const { return *frame_; }
  const Points& points() const { return points_; }
  Role role() const { return role_; }
  const Sketches& view() const { return view_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t{64}); }
  };

  std::shared_ptr<const Frame> frame_;
  Points points_;
  Role role_;
  std::unique_ptr<std::byte, Free> memory_;
  Sketches view_;
};

// A pass of queries over samples, both sketched in one frame.
IndexScan index_scan(const SketchSet& queries, const SketchSet& samples, Own own);

// The lower bounds of all distances that the two lattices give, (n_queries, n_samples) each, in the
// units of the points; for tests.
void lower_bounds(const SketchSet& queries, const SketchSet& samples, double* coarse, double* fine);

}  // namespace fastgan
