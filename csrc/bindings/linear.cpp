#include "linear/linear.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

LinearShape shape_of(const py::array& rows, const char* name, const py::array& weight) {
  if (rows.ndim() != 2) {
    throw std::invalid_argument(std::string(name) + ": expected 2 dimensions");
  }
  if (weight.ndim() != 2 || weight.size() == 0) {
    throw std::invalid_argument(
        "weight: expected 2 dimensions (n_units, n_features), at least 1 of each");
  }
  return {static_cast<std::size_t>(rows.shape(0)), static_cast<std::size_t>(weight.shape(1)),
          static_cast<std::size_t>(weight.shape(0))};
}

void expect_shape(const py::array& array, std::size_t n_rows, std::size_t n_columns,
                  const char* name) {
  expect_size(array.shape(0), static_cast<py::ssize_t>(n_rows), name);
  expect_size(array.shape(1), static_cast<py::ssize_t>(n_columns), name);
}

template <class T>
const T* vector(const std::optional<py::array>& array, std::size_t size, const char* name) {
  if (!array) return nullptr;
  const T* data = input<T>(*array, name, 1);
  expect_size(array->size(), static_cast<py::ssize_t>(size), name);
  return data;
}

template <class T>
T* vector_out(std::optional<py::array>& array, std::size_t size, const char* name) {
  if (!array) return nullptr;
  vector<T>(array, size, name);
  return output<T>(*array, name, 1);
}

Activation activation_of(const std::string& name) {
  if (name == "linear") return Activation::linear;
  if (name == "relu") return Activation::relu;
  if (name == "sigmoid") return Activation::sigmoid;
  throw std::invalid_argument("activation: expected linear, relu or sigmoid, got " + name);
}

template <class T>
void forward(const py::array& input_array, const py::array& weight_array,
             const std::optional<py::array>& bias_array, Activation activation,
             py::array& output_array, std::size_t n_threads) {
  const LinearShape shape = shape_of(input_array, "input", weight_array);
  const T* rows = input<T>(input_array, "input", 2);
  const T* weight = input<T>(weight_array, "weight", 2);
  const T* bias = vector<T>(bias_array, shape.n_units, "bias");
  T* out = output<T>(output_array, "output", 2);
  expect_shape(input_array, shape.n_rows, shape.n_features, "input");
  expect_shape(output_array, shape.n_rows, shape.n_units, "output");
  without_gil([&] { linear_forward(shape, rows, weight, bias, activation, out, n_threads); });
}

template <class T>
void input_gradient(const py::array& delta_array, const py::array& weight_array,
                    py::array& gradient_array, std::size_t n_threads) {
  const LinearShape shape = shape_of(delta_array, "delta", weight_array);
  const T* delta = input<T>(delta_array, "delta", 2);
  const T* weight = input<T>(weight_array, "weight", 2);
  T* gradient = output<T>(gradient_array, "gradient", 2);
  expect_shape(delta_array, shape.n_rows, shape.n_units, "delta");
  expect_shape(gradient_array, shape.n_rows, shape.n_features, "gradient");
  without_gil([&] { linear_input_gradient(shape, delta, weight, gradient, n_threads); });
}

template <class T>
void update(const py::array& delta_array, const std::optional<py::array>& scale_array,
            const py::array& input_array, py::array& weight_array, py::array& velocity_array,
            std::optional<py::array>& bias_array, std::optional<py::array>& bias_velocity_array,
            const MomentumSgd& move, std::size_t n_threads) {
  const LinearShape shape = shape_of(delta_array, "delta", weight_array);
  const T* delta = input<T>(delta_array, "delta", 2);
  const T* scale = vector<T>(scale_array, shape.n_rows, "row_scale");
  const T* rows = input<T>(input_array, "input", 2);
  T* weight = output<T>(weight_array, "weight", 2);
  T* velocity = output<T>(velocity_array, "velocity", 2);
  T* bias = vector_out<T>(bias_array, shape.n_units, "bias");
  T* bias_velocity = vector_out<T>(bias_velocity_array, shape.n_units, "bias_velocity");
  if ((bias == nullptr) != (bias_velocity == nullptr)) {
    throw std::invalid_argument("bias_velocity: expected one where there is a bias");
  }
  expect_shape(delta_array, shape.n_rows, shape.n_units, "delta");
  expect_shape(input_array, shape.n_rows, shape.n_features, "input");
  expect_shape(velocity_array, shape.n_units, shape.n_features, "velocity");
  without_gil([&] {
    linear_update(shape, delta, scale, rows, move, weight, velocity, bias, bias_velocity,
                  n_threads);
  });
}

template <class T>
WinnerDelta<T> winner_delta(const py::array& values_array, const py::array& winner_array,
                            std::size_t n_pieces, const LinearShape& shape) {
  if (n_pieces < 1 || n_pieces > 256 || shape.n_units % n_pieces != 0) {
    throw std::invalid_argument("n_pieces: expected 1 to 256, and a divisor of weight's rows");
  }
  const T* values = input<T>(values_array, "delta", 2);
  const auto* winner = input<std::uint8_t>(winner_array, "winner", 2);
  expect_shape(values_array, shape.n_rows, shape.n_units / n_pieces, "delta");
  expect_shape(winner_array, shape.n_rows, shape.n_units / n_pieces, "winner");
  return {values, winner, n_pieces};
}

template <class T>
void winners_input_gradient(const py::array& delta_array, const py::array& winner_array,
                            std::size_t n_pieces, const py::array& weight_array,
                            py::array& gradient_array, std::size_t n_threads) {
  const LinearShape shape = shape_of(delta_array, "delta", weight_array);
  const WinnerDelta<T> delta = winner_delta<T>(delta_array, winner_array, n_pieces, shape);
  const T* weight = input<T>(weight_array, "weight", 2);
  T* gradient = output<T>(gradient_array, "gradient", 2);
  expect_shape(gradient_array, shape.n_rows, shape.n_features, "gradient");
  without_gil([&] { maxout_input_gradient(shape, delta, weight, gradient, n_threads); });
}

template <class T>
void winners_update(const py::array& delta_array, const py::array& winner_array,
                    std::size_t n_pieces, const std::optional<py::array>& scale_array,
                    const py::array& input_array, py::array& weight_array,
                    py::array& velocity_array, std::optional<py::array>& bias_array,
                    std::optional<py::array>& bias_velocity_array, const MomentumSgd& move,
                    std::size_t n_threads) {
  const LinearShape shape = shape_of(delta_array, "delta", weight_array);
  const WinnerDelta<T> delta = winner_delta<T>(delta_array, winner_array, n_pieces, shape);
  const T* scale = vector<T>(scale_array, shape.n_rows, "row_scale");
  const T* rows = input<T>(input_array, "input", 2);
  T* weight = output<T>(weight_array, "weight", 2);
  T* velocity = output<T>(velocity_array, "velocity", 2);
  T* bias = vector_out<T>(bias_array, shape.n_units, "bias");
  T* bias_velocity = vector_out<T>(bias_velocity_array, shape.n_units, "bias_velocity");
  if ((bias == nullptr) != (bias_velocity == nullptr)) {
    throw std::invalid_argument("bias_velocity: expected one where there is a bias");
  }
  expect_shape(input_array, shape.n_rows, shape.n_features, "input");
  expect_shape(velocity_array, shape.n_units, shape.n_features, "velocity");
  without_gil([&] {
    maxout_update(shape, delta, scale, rows, move, weight, velocity, bias, bias_velocity,
                  n_threads);
  });
}

template <class T>
void delta_of(const py::array& gradient_array, const std::optional<py::array>& scale_array,
              const DropoutMask& mask, std::uint64_t first, Activation activation,
              const py::array& values_array, py::array& delta_array, std::size_t n_threads) {
  const T* gradient = input<T>(gradient_array, "gradient", 2);
  const T* values = input<T>(values_array, "values", 2);
  T* delta = output<T>(delta_array, "delta", 2);
  const auto n_rows = static_cast<std::size_t>(delta_array.shape(0));
  const auto n_columns = static_cast<std::size_t>(delta_array.shape(1));
  const bool is_one_row = gradient_array.shape(0) == 1;
  expect_shape(gradient_array, is_one_row ? 1 : n_rows, n_columns, "gradient");
  const T* scale = vector<T>(scale_array, n_rows, "row_scale");
  expect_shape(values_array, n_rows, n_columns, "values");
  without_gil([&] {
    activation_delta(n_rows, n_columns, gradient, is_one_row ? 0 : n_columns, scale, mask, first,
                     activation, values, delta, n_threads);
  });
}

}  // namespace

void register_linear(py::module_& module) {
  module.def(
      "linear_forward",
      [](const py::array& input, const py::array& weight, const std::optional<py::array>& bias,
         const std::string& activation, py::array output, std::size_t n_threads) {
        const Activation function = activation_of(activation);
        if (is_of<float>(input)) {
          forward<float>(input, weight, bias, function, output, n_threads);
        } else {
          forward<double>(input, weight, bias, function, output, n_threads);
        }
      },
      py::arg("input"), py::arg("weight"), py::arg("bias"), py::arg("activation"),
      py::arg("output"), py::arg("n_threads"),
      "output (n, n_units) = activation(input (n, n_features) weight^T + bias).");
  module.def(
      "linear_input_gradient",
      [](const py::array& delta, const py::array& weight, py::array gradient,
         std::size_t n_threads) {
        if (is_of<float>(delta)) {
          input_gradient<float>(delta, weight, gradient, n_threads);
        } else {
          input_gradient<double>(delta, weight, gradient, n_threads);
        }
      },
      py::arg("delta"), py::arg("weight"), py::arg("gradient"), py::arg("n_threads"),
      "gradient (n, n_features) = delta (n, n_units) weight.");
  module.def(
      "linear_update",
      [](const py::array& delta, const std::optional<py::array>& row_scale, const py::array& input,
         py::array weight, py::array velocity, std::optional<py::array> bias,
         std::optional<py::array> bias_velocity, double lr, double momentum, double max_norm,
         std::size_t n_threads, bool velocity_only) {
        const MomentumSgd move{lr, momentum, max_norm, velocity_only};
        if (is_of<float>(delta)) {
          update<float>(delta, row_scale, input, weight, velocity, bias, bias_velocity, move,
                        n_threads);
        } else {
          update<double>(delta, row_scale, input, weight, velocity, bias, bias_velocity, move,
                         n_threads);
        }
      },
      py::arg("delta"), py::arg("row_scale"), py::arg("input"), py::arg("weight"),
      py::arg("velocity"), py::arg("bias"), py::arg("bias_velocity"), py::arg("lr"),
      py::arg("momentum"), py::arg("max_norm"), py::arg("n_threads"),
      py::arg("velocity_only") = false,
      "In place: weight and bias move by momentum against the gradient "
      "sum_i row_scale[i] delta[i, unit] input[i, :]; velocity_only: their velocities alone.");
  module.def(
      "maxout_input_gradient",
      [](const py::array& delta, const py::array& winner, std::size_t n_pieces,
         const py::array& weight, py::array gradient, std::size_t n_threads) {
        if (is_of<float>(delta)) {
          winners_input_gradient<float>(delta, winner, n_pieces, weight, gradient, n_threads);
        } else {
          winners_input_gradient<double>(delta, winner, n_pieces, weight, gradient, n_threads);
        }
      },
      py::arg("delta"), py::arg("winner"), py::arg("n_pieces"), py::arg("weight"),
      py::arg("gradient"), py::arg("n_threads"),
      "linear_input_gradient for a delta (n, n_units / n_pieces) of the winning pieces alone.");
  module.def(
      "maxout_update",
      [](const py::array& delta, const py::array& winner, std::size_t n_pieces,
         const std::optional<py::array>& row_scale, const py::array& input, py::array weight,
         py::array velocity, std::optional<py::array> bias, std::optional<py::array> bias_velocity,
         double lr, double momentum, double max_norm, std::size_t n_threads, bool velocity_only) {
        const MomentumSgd move{lr, momentum, max_norm, velocity_only};
        if (is_of<float>(delta)) {
          winners_update<float>(delta, winner, n_pieces, row_scale, input, weight, velocity, bias,
                                bias_velocity, move, n_threads);
        } else {
          winners_update<double>(delta, winner, n_pieces, row_scale, input, weight, velocity, bias,
                                 bias_velocity, move, n_threads);
        }
      },
      py::arg("delta"), py::arg("winner"), py::arg("n_pieces"), py::arg("row_scale"),
      py::arg("input"), py::arg("weight"), py::arg("velocity"), py::arg("bias"),
      py::arg("bias_velocity"), py::arg("lr"), py::arg("momentum"), py::arg("max_norm"),
      py::arg("n_threads"), py::arg("velocity_only") = false,
      "linear_update for a delta (n, n_units / n_pieces) of the winning pieces alone.");
  module.def(
      "activation_delta",
      [](const py::array& gradient, const std::optional<py::array>& row_scale,
         double include_probability, std::int64_t seed, std::uint32_t step, std::uint32_t stream,
         const std::string& activation, const py::array& values, py::array delta,
         std::size_t n_threads, std::uint64_t first) {
        const DropoutMask mask =
            dropout_mask({static_cast<std::uint64_t>(seed), step, stream}, include_probability);
        const Activation function = activation_of(activation);
        if (is_of<float>(gradient)) {
          delta_of<float>(gradient, row_scale, mask, first, function, values, delta, n_threads);
        } else {
          delta_of<double>(gradient, row_scale, mask, first, function, values, delta, n_threads);
        }
      },
      py::arg("gradient"), py::arg("row_scale"), py::arg("include_probability"), py::arg("seed"),
      py::arg("step"), py::arg("stream"), py::arg("activation"), py::arg("values"),
      py::arg("delta"), py::arg("n_threads"), py::arg("first") = 0,
      "delta = row_scale mask(gradient) activation', the derivative by the activation's values. A "
      "gradient of one row is that of every row. Masks are those of elements first, first + 1, "
      "...");
}

}  // namespace fastgan::bindings
