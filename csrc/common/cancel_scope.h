// How a call is ended before its time: a flag that belongs to the call, and that every thread
// working for it looks at. Nothing here knows why: the bindings hang Python's signals on it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "common/cancel.h"

namespace fastgan {

// The flag of the calls that a thread makes while an object of this class lives in it; of several,
// the innermost.
class CancelScope {
 public:
  enum class Answer { go_on, cancel, never_ask_again };

  // How often `ask` is called at most: it may have to wait for a lock of its own.
  static constexpr std::chrono::milliseconds kAskEvery{50};

  // `ask` may set the flag too. It is called on the thread that made the object, from within a
  // call; it may make calls of its own, and must not throw.
  explicit CancelScope(std::function<Answer()> ask = nullptr);
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // Any thread may call it.
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  friend void check_cancelled();

  void check();

  std::atomic<bool> cancelled_{false};
  std::function<Answer()> ask_;
  std::thread::id asker_;       // no thread where there is nothing to ask
  Clock::time_point ask_next_;  // the asker's alone
  CancelScope* outer_;
};

// The scope in force in a thread: that of the call it helps, or none for what must not stop
// half-way.
class CurrentScope {
 public:
  explicit CurrentScope(CancelScope* scope);
  ~CurrentScope();
  CurrentScope(const CurrentScope&) = delete;
  CurrentScope& operator=(const CurrentScope&) = delete;

  static CancelScope* get();

 private:
  CancelScope* before_;
};

}  // namespace fastgan
