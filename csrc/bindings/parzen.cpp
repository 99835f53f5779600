#include "bindings/registry.h"

namespace fastgan::bindings {

void register_parzen(pybind11::module_&) {}

}  // namespace fastgan::bindings
