// Threads that sleep between calls. No OpenMP: torch brings its own runtime, and two of them in one
// process would spin against each other for the same cores.
#pragma once

#include <cstddef>
#include <functional>

namespace fastgan {

// Calls task(index) once for every index in [0, n_tasks), on at most n_threads threads (the caller
// is one of them), and returns when all are done. Tasks are handed out in order, one at a time, so
// uneven ones balance; no result may depend on which thread runs which task. The first exception a
// task throws is thrown again here, after every started task has ended; tasks not yet started are
// then skipped. Between tasks the call's flag is looked at (cancel.h). Where the system gives fewer
// threads, fewer take part. Calls from several threads at once are served one after the other; a
// call from inside a task runs on that thread alone. Safe after a fork: the child starts threads of
// its own.
void parallel_for(std::size_t n_tasks, std::size_t n_threads,
                  const std::function<void(std::size_t)>& task);

// The same over rows: task(first, last) for consecutive ranges of at least min_rows rows.
void parallel_rows(std::size_t n_rows, std::size_t min_rows, std::size_t n_threads,
                   const std::function<void(std::size_t, std::size_t)>& task);

}  // namespace fastgan
