#include "dropout/dropout.h"

namespace fastgan::FASTGAN_LEVEL {

void dropout_float(const DropoutMask& mask, std::uint64_t first, std::size_t n, const float* input,
                   float* output) {
  drop(mask, first, n, input, output);
}

void dropout_double(const DropoutMask& mask, std::uint64_t first, std::size_t n,
                    const double* input, double* output) {
  drop(mask, first, n, input, output);
}

}  // namespace fastgan::FASTGAN_LEVEL
