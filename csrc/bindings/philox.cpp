#include "bindings/registry.h"

namespace fastgan::bindings {

void register_philox(pybind11::module_&) {}

}  // namespace fastgan::bindings
