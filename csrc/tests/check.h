// A test is a function that CHECKs; TEST registers it to run once, EACH_LEVEL once at every SIMD
// level that this processor has. main.cpp runs them all, or those whose names hold its argument.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace fastgan::tests {

struct Test {
  const char* name;
  void (*run)();
  bool at_each_level;
};

std::vector<Test>& all_tests();

struct Registration {
  Registration(const char* name, void (*run)(), bool at_each_level) {
    all_tests().push_back({name, run, at_each_level});
  }
};

struct CheckFailed : std::runtime_error {
  CheckFailed(const char* file, int line, const std::string& what)
      : std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + what) {}
};

}  // namespace fastgan::tests

#define FASTGAN_TEST(name, at_each_level)                                                   \
  static void name();                                                                       \
  static const ::fastgan::tests::Registration register_##name{#name, &name, at_each_level}; \
  static void name()

#define TEST(name) FASTGAN_TEST(name, false)
#define EACH_LEVEL(name) FASTGAN_TEST(name, true)

#define CHECK(...)                                                           \
  do {                                                                       \
    if (!(__VA_ARGS__)) {                                                    \
      throw ::fastgan::tests::CheckFailed(__FILE__, __LINE__, #__VA_ARGS__); \
    }                                                                        \
  } while (false)
