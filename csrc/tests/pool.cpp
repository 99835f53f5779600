#include <atomic>
#include <chrono>
#include <thread>

#include "common/thread_pool.h"
#include "tests/check.h"
#include "tests/operations.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace fastgan::tests {
namespace {

TEST(every_task_runs_once) {
  for (const std::size_t n_tasks : {0, 1, 2, 7, 1000}) {
    for (const std::size_t n_threads : {0, 1, 2, 5, 32}) {
      std::vector<std::atomic<int>> counts(n_tasks);
      parallel_for(n_tasks, n_threads, [&](std::size_t index) { ++counts[index]; });
      for (const auto& count : counts) CHECK(count == 1);
    }
  }
}

TEST(ranges_of_rows_cover_them) {
  for (const std::size_t n_rows : {0, 1, 10, 1000, 100000}) {
    for (const std::size_t min_rows : {0, 1, 64}) {
      std::vector<std::atomic<int>> counts(n_rows);
      parallel_rows(n_rows, min_rows, 3, [&](std::size_t first, std::size_t last) {
        CHECK(first < last);
        CHECK(last - first <= 512 * std::max<std::size_t>(min_rows, 1));
        for (std::size_t row = first; row < last; ++row) ++counts[row];
      });
      for (const auto& count : counts) CHECK(count == 1);
    }
  }
}

TEST(an_exception_reaches_the_caller_and_the_pool_goes_on) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> n_run{0};
    bool thrown = false;
    try {
      parallel_for(100000, 4, [&](std::size_t index) {
        ++n_run;
        if (index == 3) throw std::out_of_range("task three");
        std::this_thread::sleep_for(std::chrono::microseconds(20));  // so that three is in time
      });
    } catch (const std::out_of_range& error) {
      thrown = std::string(error.what()) == "task three";
    }
    CHECK(thrown);
    CHECK(n_run < 100000);
  }
}

TEST(a_call_from_inside_a_task_runs_on_its_thread) {
  std::atomic<int> n_elsewhere{0}, n_run{0};
  parallel_for(50, 4, [&](std::size_t) {
    const auto here = std::this_thread::get_id();
    parallel_for(20, 4, [&](std::size_t) {
      ++n_run;
      n_elsewhere += std::this_thread::get_id() != here;
    });
  });
  CHECK(n_run == 1000 && n_elsewhere == 0);
}

EACH_LEVEL(threads_change_no_bit) {
  for (const Operation& operation : all_operations()) {
    const auto expected = operation.run(1);
    for (const std::size_t n_threads : {2, 5}) CHECK(operation.run(n_threads) == expected);
  }
}

TEST(callers_at_once_get_what_each_asked_for) {
  std::vector<std::vector<std::byte>> expected;
  for (const Operation& operation : all_operations()) expected.push_back(operation.run(1));
  std::atomic<int> n_wrong{0};
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      const std::size_t n = expected.size();
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t which = (i + caller * n / 4) % n;
        n_wrong += all_operations()[which].run(1 + caller) != expected[which];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(n_wrong == 0);
}

#if defined(__unix__) || defined(__APPLE__)
// The child's exit status tells: what it throws must not unwind into the parent's tests.
template <class Body>
bool in_a_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    bool good = false;
    try {
      good = body();
    } catch (...) {
    }
    _exit(good ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

TEST(a_fork_finds_a_pool_of_its_own) {
  const Operation& operation = all_operations().front();
  const auto expected = operation.run(4);
  const auto is_right = [&] { return operation.run(4) == expected; };
  for (int round = 0; round < 3; ++round) {
    CHECK(in_a_child([&] { return is_right() && in_a_child(is_right) && is_right(); }));
    CHECK(is_right());
  }
}

// ThreadSanitizer cannot follow: a thread of the child gets the handle of one that only the parent
// has ("dup thread with used id").
#if !defined(__SANITIZE_THREAD__)
TEST(a_fork_while_another_thread_is_inside_the_pool) {
  const Operation& operation = all_operations().front();
  const auto expected = operation.run(4);
  std::atomic<bool> stop{false}, inside{false};
  std::thread busy([&] {
    while (!stop) {
      parallel_for(64, 4, [&](std::size_t) {
        inside = true;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      });
    }
  });
  while (!inside) std::this_thread::yield();
  bool good = true;
  for (int round = 0; round < 10; ++round) {
    good &= in_a_child([&] { return operation.run(4) == expected; });
  }
  stop = true;
  busy.join();
  CHECK(good);
}
#endif
#endif

}  // namespace
}  // namespace fastgan::tests
