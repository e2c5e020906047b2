// What the tests share.
#ifndef BITLAB_TESTS_CHECK_H
#define BITLAB_TESTS_CHECK_H

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "bitlab.h"

inline int passed = 0, failed = 0;

// By the numbers in bitlab.h.
inline const char* const kNames[BITLAB_KERNELS] = {"scalar", "avx2", "avxvnni", "avx512vnni", "neon", "neondot", "i8mm"};

inline void check(bool ok, const char* what, int kernel, int m, int n, int k) {
    ok ? passed++ : failed++;
    if (!ok) std::printf("FAILED %s: kernel %d, m %d, n %d, k %d\n", what, kernel, m, n, k);
}

// Memory that ends at an unreadable page, so that one byte too far ends the program; there is another page in front.
// Its start is 64-byte aligned where the size is a multiple of 64.
template <typename T>
class Guarded {
  public:
    explicit Guarded(size_t count) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = count * sizeof(T);
        const size_t usable = (bytes + page - 1) / page * page;
        size_ = page + usable + page;
        memory_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(memory_, page, PROT_NONE);
        mprotect(memory_ + page + usable, page, PROT_NONE);
        data_ = reinterpret_cast<T*>(memory_ + page + usable - bytes);
    }
    ~Guarded() { munmap(memory_, size_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    T& operator[](size_t i) { return data_[i]; }
    T* data() { return data_; }

  private:
    char* memory_;
    size_t size_;
    T* data_;
};

// Equal to the last bit: 0 is not -0.
inline bool same_bits(const float* a, const float* b, size_t count) {
    return std::memcmp(a, b, count * sizeof(float)) == 0;
}

// floats_test.cpp
void float_kernels();

#endif
