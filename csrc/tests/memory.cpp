// Memory that runs out: operator new, replaced for the whole binary, can fail.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <thread>

#include "tests/check.h"
#include "tests/operations.h"

namespace {

// How many allocations still succeed; negative: all.
std::atomic<long> g_left{-1};

bool fails() {
  long left = g_left.load(std::memory_order_relaxed);
  while (left > 0 && !g_left.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {
  }
  return left == 0;
}

void* allocate_or_null(std::size_t size, std::size_t alignment) noexcept {
  if (fails()) return nullptr;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(std::max<std::size_t>(size, 1));
  const std::size_t rounded = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment;
  return std::aligned_alloc(alignment, rounded * alignment);
}

void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  void* memory = allocate_or_null(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// All forms: a sanitizer holds those that are not replaced for its own, and compares.
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate_or_null(size, alignof(std::max_align_t));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace fastgan::tests {
namespace {

enum class Outcome { right, wrong, bad_alloc };

// In a thread of its own, whose scratch memory is empty.
Outcome run_with(const Operation& operation, std::size_t n_threads, long n_allocations,
                 const std::vector<std::byte>& expected) {
  Outcome outcome = Outcome::wrong;
  std::thread([&] {
    try {
      g_left = n_allocations;
      const std::vector<std::byte> found = operation.run(n_threads);
      g_left = -1;
      outcome = found == expected ? Outcome::right : Outcome::wrong;
    } catch (const std::bad_alloc&) {
      outcome = Outcome::bad_alloc;
    }
    g_left = -1;
  }).join();
  return outcome;
}

// LeakSanitizer, at the end, tells what a failure has left behind.
TEST(memory_may_run_out_at_every_allocation) {
  for (const Operation& operation : all_operations()) {
    const std::vector<std::byte> expected = operation.run(1);
    for (const std::size_t n_threads : {1, 3}) {
      // With helpers, which allocation comes n-th is a matter of chance: every seventh will do.
      const long step = n_threads == 1 ? 1 : 7;
      long n_allocations = 0;
      for (;; n_allocations += step) {
        const Outcome outcome = run_with(operation, n_threads, n_allocations, expected);
        CHECK(outcome != Outcome::wrong);
        if (outcome == Outcome::right) break;
        CHECK(n_allocations < 10000);
      }
      CHECK(n_allocations > 0);
      CHECK(operation.run(n_threads) == expected);
    }
  }
}

}  // namespace
}  // namespace fastgan::tests
