#include "bindings/registry.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native kernels of fastgan. Private: the public functions are in fastgan.ops.";
  module.attr("__version__") = FASTGAN_VERSION;
  fastgan::bindings::register_backend(module);
  fastgan::bindings::register_threads(module);
  fastgan::bindings::register_philox(module);
  fastgan::bindings::register_dropout(module);
  fastgan::bindings::register_maxout_linear(module);
  fastgan::bindings::register_momentum_sgd(module);
  fastgan::bindings::register_distances(module);
  fastgan::bindings::register_parzen(module);
  fastgan::bindings::register_neighbors(module);
  fastgan::bindings::register_index(module);
  fastgan::bindings::register_linear(module);
  fastgan::bindings::register_costs(module);
}
