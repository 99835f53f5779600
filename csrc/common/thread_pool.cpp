#include "common/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
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

namespace fastgan {
namespace {

thread_local bool t_inside_task = false;

// How long a thread looks on before it sleeps. Waking one costs 30 to 80 us, which is what a small
// layer takes; the calls of a training step follow each other within some 10 us, and the steps
// within 200. Longer would take the core from other libraries' threads.
constexpr std::chrono::microseconds kSpin{300};

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
      if (g_pool.compare_exchange_strong(pool, fresh)) {
        register_fork_handler();
        return *fresh;
      }
      delete fresh;
    }
    return *pool;
  }

  void run(std::size_t n_tasks, std::size_t n_threads,
           const std::function<void(std::size_t)>& task) {
    std::lock_guard<std::mutex> one_call_at_a_time(call_);
    const std::size_t n_helpers = std::min(n_threads, n_tasks) - 1;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (workers_.size() < n_helpers) {
        const std::size_t rank = workers_.size();
        workers_.emplace_back([this, rank] { work(rank); });
        handles_.push_back(workers_.back().native_handle());
        workers_.back().detach();
      }
      keep_apart();
      task_ = &task;
      n_tasks_ = n_tasks;
      next_.store(0, std::memory_order_relaxed);
      failure_ = nullptr;
      wanted_ = n_helpers;
      ++generation_;
    }
    wake_.notify_all();
    take_tasks(task);
    std::unique_lock<std::mutex> lock(mutex_);
    // No task is left to hand out. Helpers that have begun are waited for; one that has not woken
    // yet (its core may be held by another library's spinning thread) finds nothing to do.
    task_ = nullptr;
    if (running_ != 0) {
      lock.unlock();
      spin_until([this] { return running_ == 0; });
      lock.lock();
    }
    done_.wait(lock, [this] { return running_ == 0; });
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  // Keeps the helpers off the caller's core. Linux likes to wake a thread where its waker runs, and
  // two threads that sleep and wake every millisecond can then share one core for seconds beside an
  // idle one. Helpers are moved only when the caller has moved, or may run elsewhere than before.
  void keep_apart() {
#if defined(__linux__)
    const int here = sched_getcpu();
    cpu_set_t allowed;
    if (pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed) != 0) return;
    if (here == callers_core_ && n_placed_ == handles_.size() && CPU_EQUAL(&allowed, &allowed_)) {
      return;
    }
    callers_core_ = here;
    n_placed_ = handles_.size();
    allowed_ = allowed;
    if (here >= 0 && here < CPU_SETSIZE && CPU_COUNT(&allowed) > 1) CPU_CLR(here, &allowed);
    for (const auto handle : handles_) pthread_setaffinity_np(handle, sizeof(allowed), &allowed);
#endif
  }

  void work(std::size_t rank) {
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
      ++running_;
      lock.unlock();
      take_tasks(task);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  void take_tasks(const std::function<void(std::size_t)>& task) {
    t_inside_task = true;
    for (;;) {
      const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= n_tasks_) break;
      try {
        task(index);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (failure_ == nullptr) failure_ = std::current_exception();
        next_.store(n_tasks_, std::memory_order_relaxed);
      }
    }
    t_inside_task = false;
  }

  static void register_fork_handler() {
#if defined(__unix__) || defined(__APPLE__)
    static const int registered =
        pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr, std::memory_order_release); });
    (void)registered;
#endif
  }

  static std::atomic<Pool*> g_pool;

  std::mutex call_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  std::vector<std::thread::native_handle_type> handles_;  // valid for ever: helpers never end
#if defined(__linux__)
  int callers_core_ = -1;
  std::size_t n_placed_ = 0;
  cpu_set_t allowed_{};
#endif
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t n_tasks_ = 0;
  std::atomic<std::size_t> next_{0};
  std::exception_ptr failure_;
  std::size_t wanted_ = 0;
  // written under the mutex, and looked at without it
  std::atomic<std::size_t> running_{0};
  std::atomic<std::size_t> generation_{0};
};

std::atomic<Pool*> Pool::g_pool{nullptr};

}  // namespace

void parallel_for(std::size_t n_tasks, std::size_t n_threads,
                  const std::function<void(std::size_t)>& task) {
  if (n_tasks == 0) return;
  if (n_tasks == 1 || n_threads <= 1 || t_inside_task) {
    for (std::size_t index = 0; index < n_tasks; ++index) task(index);
    return;
  }
  Pool::instance().run(n_tasks, n_threads, task);
}

void parallel_rows(std::size_t n_rows, std::size_t min_rows, std::size_t n_threads,
                   const std::function<void(std::size_t, std::size_t)>& task) {
  if (n_rows == 0) return;
  const std::size_t at_least = std::max<std::size_t>(min_rows, 1);
  const std::size_t most = std::max<std::size_t>(n_rows / at_least, 1);
  const std::size_t n_ranges = std::min(most, std::max<std::size_t>(n_threads, 1) * 4);
  parallel_for(n_ranges, n_threads, [&](std::size_t range) {
    task(n_rows * range / n_ranges, n_rows * (range + 1) / n_ranges);
  });
}

}  // namespace fastgan
