#include "common/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include "common/cancel_scope.h"

namespace fastgan {
namespace {

thread_local bool t_inside_task = false;

// How long a thread looks on before it sleeps. Waking one costs 30 to 80 us, which is what a small
// layer takes; the calls of a training step follow each other within some 10 us, and the steps
// within 200. Longer would take the core from other libraries' threads.
constexpr std::chrono::microseconds kSpin{300};

// A range of rows holds at most this many times what is worth a thread, some 10 ms of work, so that
// a cancelled call ends soon.
constexpr std::size_t kMostInTask = 256;

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
  asm volatile("yield");
#else
  std::this_thread::yield();
#endif
}

// Looks on until the condition holds, or kSpin has passed.
template <class Condition>
void spin_until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!condition() && std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 16 && !condition(); ++i) pause();
  }
}

class Pool {
 public:
  // Never destroyed: threads may sleep in it while the process exits, and a forked child leaves its
  // parent's pool (whose threads do not exist there) behind untouched.
  static Pool& instance() {
    Pool* pool = g_pool.load(std::memory_order_acquire);
    if (pool == nullptr) {
      auto* fresh = new Pool;
      if (g_pool.compare_exchange_strong(pool, fresh)) return *fresh;
      delete fresh;
    }
    return *pool;
  }

  // In a forked child, where none of its threads is.
  static void forget() { g_pool.store(nullptr, std::memory_order_release); }

  void run(std::size_t n_tasks, std::size_t n_threads,
           const std::function<void(std::size_t)>& task) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!freed_.wait_for(lock, CancelScope::kAskEvery, [this] { return !taken_; })) {
      lock.unlock();
      check_cancelled();
      lock.lock();
    }
    const std::size_t n_helpers = hire(std::min(n_threads, n_tasks) - 1);
    keep_apart();
    taken_ = true;
    task_ = &task;
    scope_ = CurrentScope::get();
    n_tasks_ = n_tasks;
    next_.store(0, std::memory_order_relaxed);
    wanted_ = n_helpers;
    ++generation_;
    lock.unlock();
    wake_.notify_all();
    t_inside_task = true;  // also while it waits: what is asked meanwhile may call
    take_tasks(task);
    lock.lock();
    // No task is left to hand out. Helpers that have begun are waited for; one that has not woken
    // yet (its core may be held by another library's spinning thread) finds nothing to do.
    task_ = nullptr;
    if (running_ != 0) {
      lock.unlock();
      spin_until([this] { return running_ == 0; });
      lock.lock();
    }
    while (!done_.wait_for(lock, CancelScope::kAskEvery, [this] { return running_ == 0; })) {
      lock.unlock();
      or_note_failure([] { check_cancelled(); });  // the helpers see the flag too
      lock.lock();
    }
    t_inside_task = false;
    taken_ = false;
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    lock.unlock();
    freed_.notify_one();
    if (failure != nullptr) std::rethrow_exception(failure);
  }

 private:
  // Sees to it that there are n helpers, or as many as the system has threads and memory for, and
  // returns how many.
  std::size_t hire(std::size_t n) {
    try {
      helpers_.reserve(n);
      while (helpers_.size() < n) {
        std::thread helper([this, rank = helpers_.size()] { work(rank); });
        helpers_.push_back(helper.native_handle());
        helper.detach();
      }
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return std::min(n, helpers_.size());
  }

  // Keeps the helpers off the caller's core. Linux likes to wake a thread where its waker runs, and
  // two threads that sleep and wake every millisecond can then share one core for seconds beside an
  // idle one. Helpers are moved only when the caller has moved, or may run elsewhere than before.
  void keep_apart() {
#if defined(__linux__)
    const int here = sched_getcpu();
    cpu_set_t allowed;
    if (pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed) != 0) return;
    if (here == callers_core_ && n_placed_ == helpers_.size() && CPU_EQUAL(&allowed, &allowed_)) {
      return;
    }
    callers_core_ = here;
    n_placed_ = helpers_.size();
    allowed_ = allowed;
    if (here >= 0 && here < CPU_SETSIZE && CPU_COUNT(&allowed) > 1) CPU_CLR(here, &allowed);
    for (const auto handle : helpers_) pthread_setaffinity_np(handle, sizeof(allowed), &allowed);
#endif
  }

  void work(std::size_t rank) {
    t_inside_task = true;
    std::size_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      if (generation_ == seen) {
        lock.unlock();
        spin_until([&] { return generation_ != seen; });
        lock.lock();
      }
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (rank >= wanted_ || task_ == nullptr) continue;
      const std::function<void(std::size_t)>& task = *task_;
      const CurrentScope scope(scope_);
      ++running_;
      lock.unlock();
      take_tasks(task);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  void take_tasks(const std::function<void(std::size_t)>& task) {
    for (;;) {
      const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= n_tasks_) break;
      or_note_failure([&] {
        check_cancelled();
        task(index);
      });
    }
  }

  // Keeps the first exception for the caller, and hands out no more tasks after one.
  template <class Action>
  void or_note_failure(const Action& action) {
    try {
      action();
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (failure_ == nullptr) failure_ = std::current_exception();
      next_.store(n_tasks_, std::memory_order_relaxed);
    }
  }

  static std::atomic<Pool*> g_pool;

  std::mutex mutex_;
  std::condition_variable freed_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread::native_handle_type> helpers_;  // valid for ever: helpers never end
#if defined(__linux__)
  int callers_core_ = -1;
  std::size_t n_placed_ = 0;
  cpu_set_t allowed_{};
#endif
  bool taken_ = false;  // by one call at a time
  const std::function<void(std::size_t)>* task_ = nullptr;
  CancelScope* scope_ = nullptr;
  std::size_t n_tasks_ = 0;
  std::atomic<std::size_t> next_{0};
  std::exception_ptr failure_;
  std::size_t wanted_ = 0;
  // written under the mutex, and looked at without it
  std::atomic<std::size_t> running_{0};
  std::atomic<std::size_t> generation_{0};
};

std::atomic<Pool*> Pool::g_pool{nullptr};

#if defined(__unix__) || defined(__APPLE__)
// When the library is loaded: at the first call, a fork by another thread could come in between.
[[maybe_unused]] const int g_minds_forks = pthread_atfork(nullptr, nullptr, &Pool::forget);
#endif

}  // namespace

void parallel_for(std::size_t n_tasks, std::size_t n_threads,
                  const std::function<void(std::size_t)>& task) {
  if (n_tasks == 0) return;
  if (n_tasks == 1 || n_threads <= 1 || t_inside_task) {
    for (std::size_t index = 0; index < n_tasks; ++index) {
      check_cancelled();
      task(index);
    }
    return;
  }
  Pool::instance().run(n_tasks, n_threads, task);
}

void parallel_rows(std::size_t n_rows, std::size_t min_rows, std::size_t n_threads,
                   const std::function<void(std::size_t, std::size_t)>& task) {
  if (n_rows == 0) return;
  const std::size_t at_least = std::max<std::size_t>(min_rows, 1);
  const std::size_t most = std::max<std::size_t>(n_rows / at_least, 1);
  const std::size_t n_ranges =
      std::min(most, std::max(std::max<std::size_t>(n_threads, 1) * 4, most / kMostInTask));
  parallel_for(n_ranges, n_threads, [&](std::size_t range) {
    task(n_rows * range / n_ranges, n_rows * (range + 1) / n_ranges);
  });
}

}  // namespace fastgan
