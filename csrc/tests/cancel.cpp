#include <atomic>
#include <chrono>
#include <thread>

#include "common/cancel_scope.h"
#include "common/thread_pool.h"
#include "tests/check.h"
#include "tests/operations.h"

namespace fastgan::tests {
namespace {

using Answer = CancelScope::Answer;
using namespace std::chrono_literals;

template <class Call>
bool is_cancelled(const Call& call) {
  try {
    call();
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

// Waits as a long task does: looking at the flag.
void work_for(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(1ms);
    check_cancelled();
  }
}

double seconds_of(const std::function<void()>& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST(without_a_scope_nothing_is_cancelled) {
  check_cancelled();
  {
    CancelScope scope;
    scope.cancel();
    CHECK(is_cancelled(check_cancelled));
    {
      const CancelScope inner;
      check_cancelled();  // it is the inner call's flag that counts
      const CurrentScope none(nullptr);
      check_cancelled();
    }
    CHECK(is_cancelled(check_cancelled));
  }
  check_cancelled();
}

TEST(every_operation_sees_the_flag) {
  for (const Operation& operation : all_operations()) {
    if (std::string(operation.name) == "batch_costs") continue;  // one batch: microseconds
    const auto expected = operation.run(2);
    for (const std::size_t n_threads : {1, 2}) {
      CancelScope scope;
      scope.cancel();
      CHECK(is_cancelled([&] { operation.run(n_threads); }));
    }
    CHECK(operation.run(2) == expected);
  }
}

// Not between two tasks alone: a task over many tiles looks at the flag at each.
TEST(an_operation_is_cancelled_wherever_it_is) {
  for (const Operation& operation : all_operations()) {
    const auto expected = operation.run(2);
    for (int n_asked_before = 0;; ++n_asked_before) {
      int n_asked = 0;
      bool done = false;
      const CancelScope scope(
          [&] { return ++n_asked > n_asked_before ? Answer::cancel : Answer::go_on; });
      std::this_thread::sleep_for(CancelScope::kAskEvery);  // it is asked at the first look
      const bool cancelled = is_cancelled([&] { done = operation.run(1) == expected; });
      CHECK(cancelled != done);
      CHECK(done || !operation.in_place || n_asked_before == 0);  // once begun it goes on
      if (done) break;
    }
  }
}

TEST(the_caller_is_asked_while_its_helpers_work) {
  for (const std::size_t n_threads : {1, 2, 4}) {
    const auto caller = std::this_thread::get_id();
    int n_asked = 0;
    bool elsewhere = false;
    const CancelScope scope([&] {
      elsewhere |= std::this_thread::get_id() != caller;
      return ++n_asked == 3 ? Answer::cancel : Answer::go_on;
    });
    std::atomic<bool> helped{n_threads == 1};
    const double seconds = seconds_of([&] {
      CHECK(is_cancelled([&] {
        parallel_for(n_threads, n_threads, [&](std::size_t) {
          if (n_threads > 1 && std::this_thread::get_id() == caller) {
            while (!helped) std::this_thread::yield();  // then it has nothing to do but to wait
          } else {
            helped = true;
            work_for(20s);
          }
        });
      }));
    });
    CHECK(n_asked == 3 && !elsewhere);
    CHECK(seconds < 10.0);
  }
}

TEST(a_call_that_waits_for_the_pool_is_cancelled_and_the_other_goes_on) {
  std::atomic<bool> inside{false}, release{false};
  int n_run = 0;
  std::thread other([&] {
    parallel_for(2, 2, [&](std::size_t) {
      inside = true;
      while (!release) work_for(1ms);
    });
    n_run = 1;
  });
  while (!inside) std::this_thread::sleep_for(1ms);
  const CancelScope scope([] { return Answer::cancel; });
  CHECK(is_cancelled([&] { parallel_for(2, 2, [](std::size_t) {}); }));
  CHECK(!release);
  release = true;
  other.join();
  CHECK(n_run == 1);
}

TEST(what_is_asked_may_call) {
  const Operation& operation = all_operations().front();
  const auto expected = operation.run(2);
  for (const std::size_t n_threads : {1, 3}) {
    std::atomic<int> n_right{0};
    const CancelScope scope([&] {
      n_right += operation.run(2) == expected;
      return Answer::go_on;
    });
    parallel_for(2 * n_threads, n_threads, [](std::size_t) { work_for(60ms); });
    CHECK(n_right > 0);
  }
}

TEST(a_caller_that_need_not_be_asked_is_asked_once) {
  int n_asked = 0;
  const CancelScope scope([&] {
    ++n_asked;
    return Answer::never_ask_again;
  });
  work_for(180ms);
  CHECK(n_asked == 1);
}

}  // namespace
}  // namespace fastgan::tests
