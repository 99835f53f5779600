#include "costs/costs.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

template <class T>
py::tuple run(const py::array& logits_array, bool saturating, py::array& discriminator_array,
              py::array& generator_array, std::optional<std::size_t> n_whole) {
  const T* logits = input<T>(logits_array, "logits", 2);
  T* of_discriminator = output<T>(discriminator_array, "discriminator_gradient", 1);
  T* of_generator = output<T>(generator_array, "generator_gradient", 1);
  const py::ssize_t n_rows = generator_array.size();
  if (n_rows < 1) throw std::invalid_argument("generator_gradient: expected at least 1 row");
  expect_size(logits_array.size(), 2 * n_rows, "logits");
  expect_size(discriminator_array.size(), 2 * n_rows, "discriminator_gradient");
  const auto n = static_cast<std::size_t>(n_rows);
  if (n_whole.value_or(n) < n) {
    throw std::invalid_argument("n_whole: expected at least the rows there are");
  }
  const BatchCosts costs = without_gil([&] {
    return batch_costs(n, n_whole.value_or(n), logits, saturating, of_discriminator, of_generator);
  });
  return py::make_tuple(costs.discriminator, costs.generator, costs.real_probability,
                        costs.fake_probability);
}

}  // namespace

void register_costs(py::module_& module) {
  module.def(
      "batch_costs",
      [](const py::array& logits, bool saturating, py::array discriminator_gradient,
         py::array generator_gradient, std::optional<std::size_t> n_whole) {
        if (is_of<float>(logits)) {
          return run<float>(logits, saturating, discriminator_gradient, generator_gradient,
                            n_whole);
        }
        return run<double>(logits, saturating, discriminator_gradient, generator_gradient, n_whole);
      },
      py::arg("logits"), py::arg("saturating"), py::arg("discriminator_gradient"),
      py::arg("generator_gradient"), py::arg("n_whole") = py::none(),
      "D's cost, G's cost, D(x) and D(G(z)), means over n rows, of logits (2 n, 1); the costs' "
      "derivatives by each logit are written into (2 n,) and (n,). Where the n rows are part of a "
      "batch of n_whole, their part of the means over that.");
}

}  // namespace fastgan::bindings
