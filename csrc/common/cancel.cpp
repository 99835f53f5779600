#include <utility>

#include "common/cancel_scope.h"

namespace fastgan {
namespace {

thread_local CancelScope* t_scope = nullptr;

}  // namespace

const char* Cancelled::what() const noexcept { return "the call was cancelled"; }

CancelScope::CancelScope(std::function<Answer()> ask)
    : ask_(std::move(ask)), outer_(std::exchange(t_scope, this)) {
  if (ask_ == nullptr) return;
  asker_ = std::this_thread::get_id();
  ask_next_ = Clock::now() + kAskEvery;
}

CancelScope::~CancelScope() { t_scope = outer_; }

void CancelScope::check() {
  if (asker_ == std::this_thread::get_id() && Clock::now() >= ask_next_) {
    Answer answer;
    {
      const CurrentScope not_within_itself(nullptr);
      answer = ask_();
    }
    if (answer == Answer::cancel) cancel();
    ask_next_ =
        answer == Answer::never_ask_again ? Clock::time_point::max() : Clock::now() + kAskEvery;
  }
  if (cancelled_.load(std::memory_order_relaxed)) throw Cancelled();
}

void check_cancelled() {
  if (t_scope != nullptr) t_scope->check();
}

CurrentScope::CurrentScope(CancelScope* scope) : before_(std::exchange(t_scope, scope)) {}

CurrentScope::~CurrentScope() { t_scope = before_; }

CancelScope* CurrentScope::get() { return t_scope; }

}  // namespace fastgan
