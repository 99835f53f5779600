// What a long operation asks, between tasks and between tiles: whether to go on. For every file.
#pragma once

#include <exception>

namespace fastgan {

// What a cancelled call throws, once all its threads have let go of the caller's arrays. Those it
// was filling hold a part of the answer.
class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override;
};

// Throws Cancelled if the call that this thread works for is cancelled (cancel_scope.h). A load
// where nobody can cancel it; else two, and on the thread that asks a look at the clock (25 ns).
void check_cancelled();

}  // namespace fastgan
