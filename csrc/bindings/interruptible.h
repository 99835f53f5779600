// How every binding calls the core.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>

#include "common/cancel_scope.h"

namespace fastgan::bindings {

// Looks for signals that came in while the core computes, and runs Python's handlers: the core asks
// at most every kAskEvery. Handlers run in the main thread alone, so other threads ask only once.
class Signals {
 public:
  CancelScope::Answer operator()();

  // Throws what a handler raised: KeyboardInterrupt, mostly.
  void rethrow() const {
    if (raised_ != nullptr) std::rethrow_exception(raised_);
  }

 private:
  std::exception_ptr raised_;
};

// Returns call(), which runs without the GIL and can be ended by a signal.
template <class Call>
auto without_gil(const Call& call) {
  Signals signals;
  const pybind11::gil_scoped_release release;
  const CancelScope scope([&signals] { return signals(); });
  try {
    return call();
  } catch (const Cancelled&) {
    signals.rethrow();
    throw;
  }
}

}  // namespace fastgan::bindings
