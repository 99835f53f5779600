#include "bindings/registry.h"

namespace fastgan::bindings {

void register_maxout_linear(pybind11::module_&) {}

}  // namespace fastgan::bindings
