#include "dropout/dropout.h"

#include <type_traits>

#include "common/thread_pool.h"

namespace fastgan {
namespace {

// Below this a thread costs more (5 to 10 us to wake) than it takes over.
constexpr std::size_t kElementsPerThread = 32768;

}  // namespace

template <class T>
void dropout(const DropoutMask& mask, std::uint64_t first, std::size_t n, const T* input, T* output,
             std::size_t n_threads) {
  const auto run = [&](auto kernel) {
    parallel_rows(n, kElementsPerThread, n_threads, [&](std::size_t begin, std::size_t end) {
      kernel(mask, first + begin, end - begin, input + begin, output + begin);
    });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(dropout_float));
  } else {
    run(FASTGAN_DISPATCH(dropout_double));
  }
}

template void dropout<float>(const DropoutMask&, std::uint64_t, std::size_t, const float*, float*,
                             std::size_t);
template void dropout<double>(const DropoutMask&, std::uint64_t, std::size_t, const double*,
                              double*, std::size_t);

}  // namespace fastgan
