#include "neighbors/neighbors.h"

#include <pybind11/stl.h>

#include "bindings/interruptible.h"
#include "bindings/points.h"
#include "bindings/registry.h"

namespace fastgan::bindings {
namespace {

void fill_neighbors(const py::array& queries, const py::array& data, bool exclude_self,
                    std::size_t n_threads, py::array squared_distances, py::array indices) {
  const Points q = as_points(queries, "queries");
  const Points rows = as_points(data, "data");
  expect_same_kind(q, rows, "queries, data");
  double* d = output<double>(squared_distances, "squared_distances", 2);
  std::int64_t* i = output<std::int64_t>(indices, "indices", 2);
  const py::ssize_t k = squared_distances.shape(1);
  expect_size(squared_distances.shape(0), py::ssize_t(q.n_rows), "squared_distances");
  expect_size(indices.shape(0), py::ssize_t(q.n_rows), "indices");
  expect_size(indices.shape(1), k, "indices");
  if (k < 1 || std::size_t(k) + exclude_self > rows.n_rows || rows.n_features == 0) {
    throw std::invalid_argument("k: expected 1 to the number of rows that can be neighbours");
  }
  without_gil([&] { nearest_neighbors(q, rows, std::size_t(k), exclude_self, n_threads, d, i); });
}

void add_counts(const py::array& queries, const py::array& data, const py::array& squared_radii,
                std::optional<std::ptrdiff_t> own_offset, std::size_t n_threads,
                py::array per_query, py::array per_row) {
  const Points q = as_points(queries, "queries");
  const Points rows = as_points(data, "data");
  expect_same_kind(q, rows, "queries, data");
  const double* radii = input<double>(squared_radii, "squared_radii", 1);
  std::int64_t* of_query = output<std::int64_t>(per_query, "per_query", 1);
  std::int64_t* of_row = output<std::int64_t>(per_row, "per_row", 1);
  expect_size(squared_radii.size(), py::ssize_t(q.n_rows), "squared_radii");
  expect_size(per_query.size(), py::ssize_t(q.n_rows), "per_query");
  expect_size(per_row.size(), py::ssize_t(rows.n_rows), "per_row");
  if (rows.n_rows == 0 || rows.n_features == 0) {
    throw std::invalid_argument("data: expected at least one row and one feature");
  }
  without_gil([&] {
    count_within(q, rows, radii, {own_offset.has_value(), own_offset.value_or(0)}, n_threads,
                 of_query, of_row);
  });
}

}  // namespace

void register_neighbors(pybind11::module_& module) {
  module.def("nearest_neighbors", &fill_neighbors, py::arg("queries"), py::arg("data"),
             py::arg("exclude_self"), py::arg("n_threads"), py::arg("squared_distances"),
             py::arg("indices"), "Fills squared_distances and indices, both (n_queries, k).");
  module.def("count_within", &add_counts, py::arg("queries"), py::arg("data"),
             py::arg("squared_radii"), py::arg("own_offset"), py::arg("n_threads"),
             py::arg("per_query"), py::arg("per_row"), "Adds to counts of pairs within radii.");
}

}  // namespace fastgan::bindings
