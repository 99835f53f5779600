#include "bindings/registry.h"

namespace fastgan::bindings {

void register_momentum_sgd(pybind11::module_&) {}

}  // namespace fastgan::bindings
