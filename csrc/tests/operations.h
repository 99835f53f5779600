// Every operation once, on small inputs of its own: for what must hold of all of them, whatever
// they compute.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace fastgan::tests {

struct Operation {
  const char* name;
  // Whether it moves its arrays in place: a cancel then comes too late once it has begun.
  bool in_place;
  std::function<std::vector<std::byte>(std::size_t n_threads)> run;  // the answer's bytes
};

const std::vector<Operation>& all_operations();

}  // namespace fastgan::tests
