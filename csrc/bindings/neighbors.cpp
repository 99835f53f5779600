#include "bindings/registry.h"

namespace fastgan::bindings {

void register_neighbors(pybind11::module_&) {}

}  // namespace fastgan::bindings
