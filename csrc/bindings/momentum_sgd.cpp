#include "momentum_sgd/momentum_sgd.h"

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

template <class T>
void run(py::array& weight_array, py::array& velocity_array, const py::array& gradient_array,
         const MomentumSgd& options, std::size_t n_threads) {
  T* weight = output<T>(weight_array, "weight", 2);
  T* velocity = output<T>(velocity_array, "velocity", 2);
  const T* gradient = input<T>(gradient_array, "gradient", 2);
  for (int axis = 0; axis < 2; ++axis) {
    expect_size(velocity_array.shape(axis), weight_array.shape(axis), "velocity");
    expect_size(gradient_array.shape(axis), weight_array.shape(axis), "gradient");
  }
  const auto n_rows = static_cast<std::size_t>(weight_array.shape(0));
  const auto n_columns = static_cast<std::size_t>(weight_array.shape(1));
  without_gil(
      [&] { momentum_sgd(options, n_rows, n_columns, weight, velocity, gradient, n_threads); });
}

template <class T>
void move(py::array& weight_array, const py::array& velocity_array, double max_norm,
          std::size_t n_threads) {
  T* weight = output<T>(weight_array, "weight", 2);
  const T* velocity = input<T>(velocity_array, "velocity", 2);
  for (int axis = 0; axis < 2; ++axis) {
    expect_size(velocity_array.shape(axis), weight_array.shape(axis), "velocity");
  }
  const auto n_rows = static_cast<std::size_t>(weight_array.shape(0));
  const auto n_columns = static_cast<std::size_t>(weight_array.shape(1));
  without_gil([&] { move_weight(max_norm, n_rows, n_columns, weight, velocity, n_threads); });
}

}  // namespace

void register_momentum_sgd(py::module_& module) {
  module.def(
      "momentum_sgd",
      [](py::array weight, py::array velocity, const py::array& gradient, double lr,
         double momentum, double max_norm, std::size_t n_threads) {
        const MomentumSgd options{lr, momentum, max_norm};
        if (is_of<float>(weight)) {
          run<float>(weight, velocity, gradient, options, n_threads);
        } else {
          run<double>(weight, velocity, gradient, options, n_threads);
        }
      },
      py::arg("weight"), py::arg("velocity"), py::arg("gradient"), py::arg("lr"),
      py::arg("momentum"), py::arg("max_norm"), py::arg("n_threads"),
      "In place, all (n_rows, n_columns): velocity = momentum velocity - lr gradient, weight += "
      "velocity, each row's norm limited to max_norm (infinity: no limit).");
  module.def(
      "move_weight",
      [](py::array weight, const py::array& velocity, double max_norm, std::size_t n_threads) {
        if (is_of<float>(weight)) {
          move<float>(weight, velocity, max_norm, n_threads);
        } else {
          move<double>(weight, velocity, max_norm, n_threads);
        }
      },
      py::arg("weight"), py::arg("velocity"), py::arg("max_norm"), py::arg("n_threads"),
      "In place, both (n_rows, n_columns): the second half of momentum_sgd, by the velocity as it "
      "is.");
}

}  // namespace fastgan::bindings
