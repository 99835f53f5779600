// One register_<operation> for each operation; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace fastgan::bindings {

void register_backend(pybind11::module_& module);
void register_threads(pybind11::module_& module);
void register_philox(pybind11::module_& module);
void register_dropout(pybind11::module_& module);
void register_maxout_linear(pybind11::module_& module);
void register_momentum_sgd(pybind11::module_& module);
void register_distances(pybind11::module_& module);
void register_parzen(pybind11::module_& module);
void register_neighbors(pybind11::module_& module);
void register_index(pybind11::module_& module);
void register_linear(pybind11::module_& module);
void register_costs(pybind11::module_& module);

}  // namespace fastgan::bindings
