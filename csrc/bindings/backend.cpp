#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/registry.h"
#include "simd/level.h"

namespace fastgan::bindings {

void register_backend(pybind11::module_& module) {
  module.def(
      "simd_level", [] { return std::string(level_name(active_level())); },
      "The SIMD level in force.");
  module.def(
      "simd_levels",
      [] {
        std::vector<std::string> names;
        for (const Level level : available_levels()) names.emplace_back(level_name(level));
        return names;
      },
      "The SIMD levels that can run here, ascending.");
  module.def("force_simd_level", &force_level, pybind11::arg("name"),
             "Puts one of simd_levels() in force; 'auto' is the highest.");
}

}  // namespace fastgan::bindings
