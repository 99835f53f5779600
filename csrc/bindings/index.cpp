#include <pybind11/stl.h>

#include "bindings/interruptible.h"
#include "bindings/points.h"
#include "bindings/registry.h"
#include "index/passes.h"

namespace fastgan::bindings {
namespace {

// A set of sketches keeps the array that it was made of.
struct Sketch {
  py::array array;
  std::unique_ptr<SketchSet> set;
};

using FramePointer = std::shared_ptr<Frame>;

Own as_own(std::optional<std::ptrdiff_t> offset) {
  return {offset.has_value(), offset.value_or(0)};
}

FramePointer make_frame(const py::array& points, std::size_t n_threads) {
  const Points rows = as_points(points, "points");
  if (rows.n_rows == 0 || rows.n_features == 0) {
    throw std::invalid_argument("points: expected at least one row and one feature");
  }
  return without_gil([&] { return std::make_shared<Frame>(Frame::of(rows, n_threads)); });
}

Sketch make_sketch(const FramePointer& frame, const py::array& points, const std::string& role,
                   std::size_t n_threads) {
  const Points rows = as_points(points, "points");
  expect_size(py::ssize_t(rows.n_features), py::ssize_t(frame->n_features), "points");
  if (role != "queries" && role != "samples") {
    throw std::invalid_argument("role: expected queries or samples, got '" + role + "'");
  }
  return {points, without_gil([&] {
            return std::make_unique<SketchSet>(
                frame, rows, role == "queries" ? Role::queries : Role::samples, n_threads);
          })};
}

void expect_pair(const Sketch& queries, const Sketch& samples) {
  if (queries.set->role() != Role::queries || samples.set->role() != Role::samples) {
    throw std::invalid_argument("queries, samples: expected a sketch of each role");
  }
  if (&queries.set->frame() != &samples.set->frame()) {
    throw std::invalid_argument("queries, samples: expected sketches of one frame");
  }
  expect_same_kind(queries.set->points(), samples.set->points(), "queries, samples");
}

using Left = std::pair<std::size_t, std::size_t>;

Left as_pair(Survivors left) { return {left.coarse, left.fine}; }

Left nearest(const Sketch& queries, const Sketch& data, std::optional<std::ptrdiff_t> own_offset,
             std::int64_t first_index, std::size_t n_threads, py::array squared_distances,
             py::array indices) {
  expect_pair(queries, data);
  double* distances = output<double>(squared_distances, "squared_distances", 2);
  std::int64_t* rows = output<std::int64_t>(indices, "indices", 2);
  const py::ssize_t n_queries = py::ssize_t(queries.set->points().n_rows);
  expect_size(squared_distances.shape(0), n_queries, "squared_distances");
  expect_size(indices.shape(0), n_queries, "indices");
  expect_size(indices.shape(1), squared_distances.shape(1), "indices");
  const std::size_t k = std::size_t(indices.shape(1));
  if (k == 0) throw std::invalid_argument("indices: expected at least one column");
  return without_gil([&] {
    return as_pair(index_nearest_neighbors(*queries.set, *data.set, k, as_own(own_offset),
                                           first_index, n_threads, distances, rows));
  });
}

Left count_within(const Sketch& queries, const Sketch& data, const py::array& squared_radii,
                  std::optional<std::ptrdiff_t> own_offset, std::size_t n_threads,
                  py::array per_query, py::array per_row) {
  expect_pair(queries, data);
  const double* radii = input<double>(squared_radii, "squared_radii", 1);
  std::int64_t* of_query = output<std::int64_t>(per_query, "per_query", 1);
  std::int64_t* of_row = output<std::int64_t>(per_row, "per_row", 1);
  expect_size(squared_radii.size(), py::ssize_t(queries.set->points().n_rows), "squared_radii");
  expect_size(per_query.size(), squared_radii.size(), "per_query");
  expect_size(per_row.size(), py::ssize_t(data.set->points().n_rows), "per_row");
  return without_gil([&] {
    return as_pair(index_count_within(*queries.set, *data.set, radii, as_own(own_offset), n_threads,
                                      of_query, of_row));
  });
}

Left parzen(const Sketch& queries, const Sketch& samples, const py::array& sigmas, double cut,
            const py::array& least, std::size_t block_size,
            std::optional<std::ptrdiff_t> own_offset, std::size_t n_threads, py::array log_sums,
            py::array log_dropped, py::array least_met) {
  expect_pair(queries, samples);
  const double* sigma = input<double>(sigmas, "sigmas", 1);
  const double* bound = input<double>(least, "least", 1);
  double* sums = output<double>(log_sums, "log_sums", 3);
  double* dropped = output<double>(log_dropped, "log_dropped", 3);
  double* met = output<double>(least_met, "least_met", 2);
  const std::size_t n_samples = samples.set->points().n_rows;
  if (block_size == 0) throw std::invalid_argument("block_size: expected at least 1");
  const py::ssize_t n_blocks = py::ssize_t((n_samples + block_size - 1) / block_size);
  const py::ssize_t shape[] = {n_blocks, sigmas.size(), py::ssize_t(queries.set->points().n_rows)};
  expect_size(least.size(), shape[2], "least");
  expect_size(least_met.shape(0), n_blocks, "least_met");
  expect_size(least_met.shape(1), shape[2], "least_met");
  for (int axis = 0; axis < 3; ++axis) {
    expect_size(log_sums.shape(axis), shape[axis], "log_sums");
    expect_size(log_dropped.shape(axis), shape[axis], "log_dropped");
  }
  return without_gil([&] {
    return as_pair(index_parzen_log_sums(*queries.set, *samples.set, sigma,
                                         std::size_t(sigmas.size()), cut, bound, block_size,
                                         as_own(own_offset), n_threads, sums, dropped, met));
  });
}

void fill_lower_bounds(const Sketch& queries, const Sketch& samples, py::array coarse,
                       py::array fine) {
  expect_pair(queries, samples);
  double* of_coarse = output<double>(coarse, "coarse", 2);
  double* of_fine = output<double>(fine, "fine", 2);
  for (const py::array* array : {&coarse, &fine}) {
    expect_size(array->shape(0), py::ssize_t(queries.set->points().n_rows), "coarse, fine");
    expect_size(array->shape(1), py::ssize_t(samples.set->points().n_rows), "coarse, fine");
  }
  without_gil([&] { lower_bounds(*queries.set, *samples.set, of_coarse, of_fine); });
}

std::pair<double, double> probe(const FramePointer& frame, const py::array& points, double width,
                                std::size_t n_threads) {
  const Points rows = as_points(points, "points");
  expect_size(py::ssize_t(rows.n_features), py::ssize_t(frame->n_features), "points");
  const Shares shares = without_gil([&] { return probe_index(frame, rows, width, n_threads); });
  return {shares.coarse, shares.fine};
}

}  // namespace

void register_index(pybind11::module_& module) {
  py::class_<Frame, FramePointer>(module, "Frame")
      .def(py::init(&make_frame), py::arg("points"), py::arg("n_threads"));
  py::class_<Sketch>(module, "Sketch")
      .def(py::init(&make_sketch), py::arg("frame"), py::arg("points"), py::arg("role"),
           py::arg("n_threads"))
      .def_property_readonly("n_rows", [](const Sketch& s) { return s.set->points().n_rows; });
  module.def("index_nearest_neighbors", &nearest, py::arg("queries"), py::arg("data"),
             py::arg("own_offset"), py::arg("first_index"), py::arg("n_threads"),
             py::arg("squared_distances"), py::arg("indices"),
             "Carries on (n_queries, k) answers; returns pairs left by coarse and fine sketches.");
  module.def("index_count_within", &count_within, py::arg("queries"), py::arg("data"),
             py::arg("squared_radii"), py::arg("own_offset"), py::arg("n_threads"),
             py::arg("per_query"), py::arg("per_row"), "Adds to counts of pairs within radii.");
  module.def("index_parzen_log_sums", &parzen, py::arg("queries"), py::arg("samples"),
             py::arg("sigmas"), py::arg("cut"), py::arg("least"), py::arg("block_size"),
             py::arg("own_offset"), py::arg("n_threads"), py::arg("log_sums"),
             py::arg("log_dropped"), py::arg("least_met"),
             "Fills (n_blocks, n_sigmas, n_queries) sums and limits.");
  module.def("index_lower_bounds", &fill_lower_bounds, py::arg("queries"), py::arg("samples"),
             py::arg("coarse"), py::arg("fine"),
             "Fills (n_queries, n_samples) lower bounds of distances, for tests.");
  module.def("index_probe", &probe, py::arg("frame"), py::arg("points"), py::arg("width"),
             py::arg("n_threads"), "Shares of pairs that coarse and fine sketches leave.");
}

}  // namespace fastgan::bindings
