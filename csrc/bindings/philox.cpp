#include "philox/philox.h"

#include "bindings/arrays.h"
#include "bindings/interruptible.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

template <class T, class Draw>
void fill(py::array& out, std::int64_t seed, std::uint32_t step, std::uint32_t stream,
          std::uint64_t first, std::size_t n_threads, Draw draw) {
  T* to = output<T>(out, "out", 1);
  const auto n = static_cast<std::size_t>(out.size());
  const PhiloxDraw which{static_cast<std::uint64_t>(seed), step, stream};
  without_gil([&] { draw(which, first, n, to, n_threads); });
}

}  // namespace

void register_philox(py::module_& module) {
  using Out = py::array;
  const auto named = [&module](const char* name, auto function, const char* text) {
    module.def(name, function, py::arg("out"), py::arg("seed"), py::arg("step"), py::arg("stream"),
               py::arg("first"), py::arg("n_threads"), text);
  };
  named(
      "philox_words",
      [](Out out, std::int64_t seed, std::uint32_t step, std::uint32_t stream, std::uint64_t first,
         std::size_t n_threads) {
        fill<std::uint32_t>(out, seed, step, stream, first, n_threads,
                            [](auto... x) { fastgan::philox_words(x...); });
      },
      "Fills out (n,), uint32, with the words of elements first to first + n - 1.");
  module.def(
      "philox_block",
      [](Out out, std::int64_t seed, std::uint32_t step, std::uint32_t stream,
         std::uint64_t block) {
        auto* to = output<std::uint32_t>(out, "out", 1);
        expect_size(out.size(), 4, "out");
        fastgan::philox_block({static_cast<std::uint64_t>(seed), step, stream}, block, to);
      },
      py::arg("out"), py::arg("seed"), py::arg("step"), py::arg("stream"), py::arg("block"),
      "Fills out (4,), uint32, with the words of one block.");
  named(
      "philox_uniform",
      [](Out out, std::int64_t seed, std::uint32_t step, std::uint32_t stream, std::uint64_t first,
         std::size_t n_threads) {
        const auto draw = [](auto... x) { philox_uniform(x...); };
        if (is_of<float>(out)) {
          fill<float>(out, seed, step, stream, first, n_threads, draw);
        } else {
          fill<double>(out, seed, step, stream, first, n_threads, draw);
        }
      },
      "Fills out (n,), float32 or float64, with uniform numbers in [0, 1).");
  named(
      "philox_normal",
      [](Out out, std::int64_t seed, std::uint32_t step, std::uint32_t stream, std::uint64_t first,
         std::size_t n_threads) {
        const auto draw = [](auto... x) { philox_normal(x...); };
        if (is_of<float>(out)) {
          fill<float>(out, seed, step, stream, first, n_threads, draw);
        } else {
          fill<double>(out, seed, step, stream, first, n_threads, draw);
        }
      },
      "Fills out (n,), float32 or float64, with standard normal numbers.");
  module.def(
      "philox_permutation",
      [](Out out, std::int64_t seed, std::uint32_t step, std::uint32_t stream,
         std::size_t n_threads) {
        fill<std::int64_t>(
            out, seed, step, stream, 0, n_threads,
            [](const PhiloxDraw& draw, std::uint64_t, std::size_t n, std::int64_t* to,
               std::size_t threads) { philox_permutation(draw, n, to, threads); });
      },
      py::arg("out"), py::arg("seed"), py::arg("step"), py::arg("stream"), py::arg("n_threads"),
      "Fills out (n,), int64, with a random order of 0 to n - 1.");
}

}  // namespace fastgan::bindings
