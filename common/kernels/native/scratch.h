// Memory that grows with the largest step and is kept: a step allocates nothing. New memory is zero.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "vectors.h"

namespace baton {

class Scratch {
public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    ~Scratch() { std::free(memory_); }

    // At least so many entries; what was there before is lost when it grows.
    template <class T>
    T* get(int64_t count) {
        const int64_t bytes = round_up(count * sizeof(T) + 64, HUGE);
        if (bytes > bytes_) {
            std::free(memory_);
            memory_ = std::aligned_alloc(HUGE, bytes);
            if (!memory_) throw std::bad_alloc();
            madvise(memory_, bytes, MADV_HUGEPAGE);
            std::memset(memory_, 0, bytes);
            bytes_ = bytes;
        }
        return (T*)memory_;
    }

private:
    static constexpr int64_t HUGE = 2 << 20;
    void* memory_ = nullptr;
    int64_t bytes_ = 0;
};

}  // namespace baton
