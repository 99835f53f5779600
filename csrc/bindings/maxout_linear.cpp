#include "maxout_linear/maxout_linear.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

MaxoutShape shape_of(const py::array& winner, std::size_t n_pieces) {
  if (winner.ndim() != 2 || winner.shape(1) == 0 || n_pieces < 1 || n_pieces > 256) {
    throw std::invalid_argument(
        "winner: expected 2 dimensions (n, n_units), at least 1 unit and 1 to 256 pieces");
  }
  return {static_cast<std::size_t>(winner.shape(0)), static_cast<std::size_t>(winner.shape(1)),
          n_pieces};
}

void expect_rows(const py::array& array, const MaxoutShape& shape, std::size_t n_columns,
                 const char* name) {
  expect_size(array.shape(0), static_cast<py::ssize_t>(shape.n_rows), name);
  expect_size(array.shape(1), static_cast<py::ssize_t>(n_columns), name);
}

template <class T>
void forward(const py::array& products_array, const py::array& bias_array, py::array& values_array,
             py::array& winner_array, std::size_t n_pieces, const DropoutMask& mask,
             std::uint64_t first, std::size_t n_threads) {
  const MaxoutShape shape = shape_of(winner_array, n_pieces);
  const T* products = input<T>(products_array, "products", 2);
  const T* bias = input<T>(bias_array, "bias", 1);
  T* values = output<T>(values_array, "values", 2);
  auto* winner = output<std::uint8_t>(winner_array, "winner", 2);
  expect_rows(products_array, shape, shape.n_columns(), "products");
  expect_size(bias_array.size(), static_cast<py::ssize_t>(shape.n_columns()), "bias");
  expect_rows(values_array, shape, shape.n_units, "values");
  without_gil(
      [&] { maxout_forward(shape, products, bias, mask, first, values, winner, n_threads); });
}

template <class T>
void backward(const py::array& gradient_array, const py::array& winner_array,
              py::array& delta_array, std::optional<py::array>& bias_gradient_array,
              std::size_t n_pieces, const DropoutMask& mask, std::uint64_t first,
              std::size_t n_threads) {
  const MaxoutShape shape = shape_of(winner_array, n_pieces);
  const T* gradient = input<T>(gradient_array, "gradient", 2);
  const auto* winner = input<std::uint8_t>(winner_array, "winner", 2);
  T* delta = output<T>(delta_array, "delta", 2);
  T* bias_gradient = nullptr;
  if (bias_gradient_array) {
    bias_gradient = output<T>(*bias_gradient_array, "bias_gradient", 1);
    expect_size(bias_gradient_array->size(), static_cast<py::ssize_t>(shape.n_columns()),
                "bias_gradient");
  }
  const bool is_one_row = gradient_array.shape(0) == 1;
  expect_rows(gradient_array, {is_one_row ? 1 : shape.n_rows, shape.n_units, n_pieces},
              shape.n_units, "gradient");
  expect_rows(delta_array, shape, shape.n_columns(), "delta");
  without_gil([&] {
    maxout_backward(shape, gradient, is_one_row ? 0 : shape.n_units, winner, mask, first, delta,
                    bias_gradient, n_threads);
  });
}

}  // namespace

void register_maxout_linear(py::module_& module) {
  module.def(
      "maxout_forward",
      [](const py::array& products, const py::array& bias, py::array values, py::array winner,
         std::size_t n_pieces, double include_probability, std::int64_t seed, std::uint32_t step,
         std::uint32_t stream, std::uint64_t first, std::size_t n_threads) {
        const DropoutMask mask =
            dropout_mask({static_cast<std::uint64_t>(seed), step, stream}, include_probability);
        if (is_of<float>(products)) {
          forward<float>(products, bias, values, winner, n_pieces, mask, first, n_threads);
        } else {
          forward<double>(products, bias, values, winner, n_pieces, mask, first, n_threads);
        }
      },
      py::arg("products"), py::arg("bias"), py::arg("values"), py::arg("winner"),
      py::arg("n_pieces"), py::arg("include_probability"), py::arg("seed"), py::arg("step"),
      py::arg("stream"), py::arg("first"), py::arg("n_threads"),
      "values and winner, each (n, n_units), of products (n, n_units * n_pieces) plus bias.");
  module.def(
      "maxout_backward",
      [](const py::array& gradient, const py::array& winner, py::array delta,
         std::optional<py::array> bias_gradient, std::size_t n_pieces, double include_probability,
         std::int64_t seed, std::uint32_t step, std::uint32_t stream, std::uint64_t first,
         std::size_t n_threads) {
        const DropoutMask mask =
            dropout_mask({static_cast<std::uint64_t>(seed), step, stream}, include_probability);
        if (is_of<float>(gradient)) {
          backward<float>(gradient, winner, delta, bias_gradient, n_pieces, mask, first, n_threads);
        } else {
          backward<double>(gradient, winner, delta, bias_gradient, n_pieces, mask, first,
                           n_threads);
        }
      },
      py::arg("gradient"), py::arg("winner"), py::arg("delta"), py::arg("bias_gradient"),
      py::arg("n_pieces"), py::arg("include_probability"), py::arg("seed"), py::arg("step"),
      py::arg("stream"), py::arg("first"), py::arg("n_threads"),
      "delta (n, n_units * n_pieces), the gradient of the products, and, unless it is None, its "
      "sum "
      "over rows. A gradient of one row is that of every row.");
}

}  // namespace fastgan::bindings
