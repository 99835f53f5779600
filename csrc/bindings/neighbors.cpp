#include "neighbors/neighbors.h"

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
  py::gil_scoped_release release;
  nearest_neighbors(q, rows, std::size_t(k), exclude_self, n_threads, d, i);
}

}  // namespace

void register_neighbors(pybind11::module_& module) {
  module.def("nearest_neighbors", &fill_neighbors, py::arg("queries"), py::arg("data"),
             py::arg("exclude_self"), py::arg("n_threads"), py::arg("squared_distances"),
             py::arg("indices"), "Fills squared_distances and indices, both (n_queries, k).");
}

}  // namespace fastgan::bindings
