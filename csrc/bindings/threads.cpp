#include "bindings/interruptible.h"
#include "bindings/registry.h"
#include "common/thread_pool.h"

namespace fastgan::bindings {

void register_threads(pybind11::module_& module) {
  module.def(
      "run_tasks",
      [](std::size_t n_tasks, std::size_t n_threads, const pybind11::object& task) {
        without_gil([&] {
          parallel_for(n_tasks, n_threads, [&task](std::size_t index) {
            const pybind11::gil_scoped_acquire acquire;
            task(index);
          });
        });
      },
      pybind11::arg("n_tasks"), pybind11::arg("n_threads"), pybind11::arg("task"),
      "Calls task(index) for each index below n_tasks on the native pool; for tests of the pool.");
}

}  // namespace fastgan::bindings
