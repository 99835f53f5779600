#include "index/linear.h"

#include "distances/tile.h"

namespace fastgan::FASTGAN_LEVEL {
namespace {

// A few strips of left's columns at a time: a chunk of right is read once for them all.
template <class T>
void multiply(const CrossProductTask<T>& task) {
  constexpr std::size_t kPanel = Tile<T>::kPanel, kColumns = 4 * kStrip;
  const Buffer<T> strips(task.n_rows * kColumns);
  const Buffer<T> block(kColumns * task.n_right);
  for (std::size_t first = task.first_left; first < task.last_left; first += kColumns) {
    const std::size_t n = std::min(kColumns, task.last_left - first);
    for (std::size_t row = 0; row < task.n_rows; ++row) {
      const T* from = task.left + row * task.n_left + first;
      for (std::size_t column = 0; column < (n + kStrip - 1) / kStrip * kStrip; ++column) {
        strips[(column / kStrip * task.n_rows + row) * kStrip + column % kStrip] =
            column < n ? from[column] : T{0};
      }
    }
    for (std::size_t start = 0; start < task.n_rows; start += kChunk) {
      const std::size_t width = std::min(kChunk, task.n_rows - start);
      for (std::size_t column = 0; column < task.n_right; column += kPanel) {
        for (std::size_t strip = 0; strip < n; strip += kStrip) {
          multiply_chunk<T>(strips.get() + strip * task.n_rows + start * kStrip,
                            task.right + start * task.n_right + column, width, task.n_right,
                            block.get() + strip * task.n_right + column, task.n_right, start > 0);
        }
      }
    }
    std::copy(block.get(), block.get() + n * task.n_right, task.products + first * task.n_right);
  }
}

}  // namespace

void cross_product_float(const CrossProductTask<float>& task) { multiply(task); }
void cross_product_double(const CrossProductTask<double>& task) { multiply(task); }

}  // namespace fastgan::FASTGAN_LEVEL
