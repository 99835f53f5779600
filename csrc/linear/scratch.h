// Scratch memory of a thread, for kernel files: a container of the standard library would leave
// weak functions that the linker shares between levels. It only ever grows, so what was paged in
// stays.
#pragma once

#include <cstddef>
#include <new>

namespace fastgan::FASTGAN_LEVEL {

// Room for trivial objects, uninitialised; thread_local where it is used.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::operator delete(data_); }

  // Returns room for size objects; what was there may be gone.
  T* room_for(std::size_t size) {
    if (size > size_) {
      ::operator delete(data_);
      data_ = nullptr;
      size_ = 0;
      data_ = static_cast<T*>(::operator new(size * sizeof(T)));
      size_ = size;
    }
    return data_;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fastgan::FASTGAN_LEVEL
