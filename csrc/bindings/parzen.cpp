#include "parzen/parzen.h"

#include <pybind11/stl.h>

#include "bindings/interruptible.h"
#include "bindings/points.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

Precision parse_precision(const std::string& name) {
  if (name == "auto") return Precision::automatic;
  if (name == "float32") return Precision::float32;
  if (name == "float64") return Precision::float64;
  throw std::invalid_argument("precision: expected auto, float32 or float64, got '" + name + "'");
}

std::string log_sums(const py::array& queries, const py::array& samples, const py::array& sigmas,
                     std::size_t block_size, std::optional<std::ptrdiff_t> own_offset,
                     const std::string& precision, std::size_t n_threads, py::array out) {
  const Points q = as_points(queries, "queries");
  const Points s = as_points(samples, "samples");
  expect_same_kind(q, s, "queries, samples");
  const double* sigma = input<double>(sigmas, "sigmas", 1);
  if (s.n_rows == 0 || s.n_features == 0 || sigmas.size() == 0 || block_size == 0) {
    throw std::invalid_argument("samples, sigmas, block_size: expected at least one of each");
  }
  double* target = output<double>(out, "out", 3);
  expect_size(out.shape(0), py::ssize_t((s.n_rows + block_size - 1) / block_size), "out");
  expect_size(out.shape(1), sigmas.size(), "out");
  expect_size(out.shape(2), py::ssize_t(q.n_rows), "out");
  const Precision wanted = parse_precision(precision);
  const Precision used = without_gil([&] {
    return parzen_log_sums(q, s, sigma, std::size_t(sigmas.size()), block_size,
                           {own_offset.has_value(), own_offset.value_or(0)}, wanted, n_threads,
                           target);
  });
  return used == Precision::float64 ? "float64" : "float32";
}

void merge(const py::array& log_sums, py::array out) {
  const double* parts = input<double>(log_sums, "log_sums", 3);
  double* merged = output<double>(out, "out", 2);
  expect_size(out.shape(0), log_sums.shape(1), "out");
  expect_size(out.shape(1), log_sums.shape(2), "out");
  if (log_sums.shape(0) == 0) throw std::invalid_argument("log_sums: expected at least one block");
  without_gil([&] {
    merge_log_sums(parts, std::size_t(log_sums.shape(0)), std::size_t(out.size()), merged);
  });
}

}  // namespace

void register_parzen(pybind11::module_& module) {
  module.def("parzen_log_sums", &log_sums, py::arg("queries"), py::arg("samples"),
             py::arg("sigmas"), py::arg("block_size"), py::arg("own_offset"), py::arg("precision"),
             py::arg("n_threads"), py::arg("out"),
             "Fills out (n_blocks, n_sigmas, n_queries); returns the precision of the products.");
  module.def("merge_log_sums", &merge, py::arg("log_sums"), py::arg("out"),
             "Fills out (n_sigmas, n_queries) with the log-sum-exp over blocks.");
}

}  // namespace fastgan::bindings
