#include "bindings/interruptible.h"

namespace fastgan::bindings {
namespace {

namespace py = pybind11;

bool is_main_thread() {
  const py::module_ threading = py::module_::import("threading");
  return threading.attr("get_ident")().equal(threading.attr("main_thread")().attr("ident"));
}

}  // namespace

CancelScope::Answer Signals::operator()() {
  const py::gil_scoped_acquire acquire;
  try {
    if (!is_main_thread()) return CancelScope::Answer::never_ask_again;
    if (PyErr_CheckSignals() == 0) return CancelScope::Answer::go_on;
    throw py::error_already_set();
  } catch (...) {
    raised_ = std::current_exception();
    return CancelScope::Answer::cancel;
  }
}

}  // namespace fastgan::bindings
