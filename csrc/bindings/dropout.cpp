#include "dropout/dropout.h"

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

template <class T>
void run(const py::array& input_array, py::array& output_array, const DropoutMask& mask,
         std::uint64_t first, std::size_t n_threads) {
  const T* from = input<T>(input_array, "input", 1);
  T* to = output<T>(output_array, "output", 1);
  expect_size(output_array.size(), input_array.size(), "output");
  const auto n = static_cast<std::size_t>(input_array.size());
  without_gil([&] { dropout(mask, first, n, from, to, n_threads); });
}

}  // namespace

void register_dropout(py::module_& module) {
  module.def(
      "dropout",
      [](const py::array& input, py::array output, double include_probability, std::int64_t seed,
         std::uint32_t step, std::uint32_t stream, std::uint64_t first, std::size_t n_threads) {
        const DropoutMask mask =
            dropout_mask({static_cast<std::uint64_t>(seed), step, stream}, include_probability);
        if (is_of<float>(input)) {
          run<float>(input, output, mask, first, n_threads);
        } else {
          run<double>(input, output, mask, first, n_threads);
        }
      },
      py::arg("input"), py::arg("output"), py::arg("include_probability"), py::arg("seed"),
      py::arg("step"), py::arg("stream"), py::arg("first"), py::arg("n_threads"),
      "output (n,) = kept ? input (n,) / include_probability : 0, float32 or float64; element i is "
      "element first + i of the batch.");
}

}  // namespace fastgan::bindings
