#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>

#include "simd/level.h"
#include "tests/check.h"

// A test forks while threads run, as Python's users do. ThreadSanitizer, a shared library, looks
// for this name among what the binary exports.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace fastgan::tests {

std::vector<Test>& all_tests() {
  static std::vector<Test> tests;
  return tests;
}

namespace {

bool passes(const Test& test, const char* level) {
  const auto begin = std::chrono::steady_clock::now();
  std::string failure;
  try {
    test.run();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%-7s %s (%s) %.2f s%s%s\n", failure.empty() ? "passed" : "FAILED", test.name, level,
              took.count(), failure.empty() ? "" : ": ", failure.c_str());
  std::fflush(stdout);
  return failure.empty();
}

int run_all(const char* wanted) {
  int n_run = 0, n_failed = 0;
  for (const Test& test : all_tests()) {
    if (std::strstr(test.name, wanted) == nullptr) continue;
    for (const Level level : available_levels()) {
      const std::string name(level_name(level));
      if (!test.at_each_level && level != available_levels().back()) continue;
      force_level(name);
      ++n_run;
      n_failed += !passes(test, name.c_str());
    }
  }
  std::printf("%d run, %d failed\n", n_run, n_failed);
  return n_run == 0 || n_failed != 0;
}

}  // namespace
}  // namespace fastgan::tests

int main(int n_arguments, char** arguments) {
  return fastgan::tests::run_all(n_arguments > 1 ? arguments[1] : "");
}
