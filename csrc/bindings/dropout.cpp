#include "bindings/registry.h"

namespace fastgan::bindings {

void register_dropout(pybind11::module_&) {}

}  // namespace fastgan::bindings
