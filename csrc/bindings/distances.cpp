#include "bindings/interruptible.h"
#include "bindings/points.h"
#include "bindings/registry.h"
#include "distances/approximate.h"
#include "distances/centre.h"

namespace fastgan::bindings {
namespace {

void fill_approximate_distances(const py::array& queries, const py::array& samples, bool in_float64,
                                py::array squared_distances, py::array allowances) {
  const Points q = as_points(queries, "queries");
  const Points s = as_points(samples, "samples");
  expect_same_kind(q, s, "queries, samples");
  double* distances = output<double>(squared_distances, "squared_distances", 2);
  double* bounds = output<double>(allowances, "allowances", 2);
  for (const py::array* array : {&squared_distances, &allowances}) {
    expect_size(array->shape(0), py::ssize_t(q.n_rows), "squared_distances, allowances");
    expect_size(array->shape(1), py::ssize_t(s.n_rows), "squared_distances, allowances");
  }
  const auto run = in_float64 ? FASTGAN_DISPATCH(approximate_distances_float64)
                              : FASTGAN_DISPATCH(approximate_distances_float32);
  without_gil([&] {
    const std::vector<double> centre = centre_of(s, 1);
    run({q, s, centre.data(), distances, bounds});
  });
}

}  // namespace

void register_distances(pybind11::module_& module) {
  module.def("approximate_distances", &fill_approximate_distances, py::arg("queries"),
             py::arg("samples"), py::arg("in_float64"), py::arg("squared_distances"),
             py::arg("allowances"),
             "Fills the tiles' squared distances and the bounds of their errors, for tests.");
}

}  // namespace fastgan::bindings
