// What the machine could do at best, for kernels to be measured against: int8 dot products from registers, and reading
// memory. Every function runs on the calling thread alone; the caller asks the CPU first whether it has the
// instructions.
#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#define LIMITS_X64 1
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__GNUC__)
#define LIMITS_ARM64 1
#include <arm_neon.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(_WIN32)
#define LIMITS_API extern "C" __declspec(dllexport)
#else
#define LIMITS_API extern "C" __attribute__((visibility("default")))
#endif
#if defined(__GNUC__)
#define LIMITS_TARGET(isa) __attribute__((target(isa)))
#else
#define LIMITS_TARGET(isa)
#endif

namespace {

struct Dot {
    int64_t products;  // multiplied and added in each step
    int64_t (*run)(int64_t steps);
};

// One number of all sums. Without a result, the compiler would leave the loops out.
template <int Count>
int64_t folded(const int64_t (&lanes)[Count]) {
    int64_t all = 0;
    for (int64_t lane : lanes) all ^= lane;
    return all;
}

#if defined(LIMITS_X64)

// Sums that do not wait for each other: more than latency times instructions a cycle, and with the operands no more
// than there are registers.
constexpr int kSums512 = 12;
constexpr int kSums256 = 6;

LIMITS_TARGET("avx512f,avx512vnni") int64_t vpdpbusd512(int64_t steps) {
    const __m512i codes = _mm512_set1_epi8(2);
    const __m512i activations = _mm512_set1_epi8(static_cast<char>(steps));
    __m512i sums[kSums512];
    for (int i = 0; i < kSums512; i++) sums[i] = _mm512_set1_epi32(i);
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < kSums512; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], codes, activations);
    }
    int64_t lanes[8 * kSums512];
    for (int i = 0; i < kSums512; i++) _mm512_storeu_si512(lanes + 8 * i, sums[i]);
    return folded(lanes);
}

// The activations change in each step: the products would else be constants, taken out of the loop.
LIMITS_TARGET("avx512f,avx512bw") int64_t vpmaddubsw512(int64_t steps) {
    __m512i activations = _mm512_set1_epi8(static_cast<char>(steps));
    __m512i codes[kSums512], sums[kSums512];
    for (int i = 0; i < kSums512; i++) {
        codes[i] = _mm512_set1_epi8(static_cast<char>(i));
        sums[i] = _mm512_set1_epi16(static_cast<short>(i));
    }
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < kSums512; i++)
            sums[i] = _mm512_add_epi16(sums[i], _mm512_maddubs_epi16(codes[i], activations));
        activations = _mm512_add_epi8(activations, codes[1]);
    }
    int64_t lanes[8 * kSums512];
    for (int i = 0; i < kSums512; i++) _mm512_storeu_si512(lanes + 8 * i, sums[i]);
    return folded(lanes);
}

LIMITS_TARGET("avx2") int64_t vpmaddubsw256(int64_t steps) {
    __m256i activations = _mm256_set1_epi8(static_cast<char>(steps));
    __m256i codes[kSums256], sums[kSums256];
    for (int i = 0; i < kSums256; i++) {
        codes[i] = _mm256_set1_epi8(static_cast<char>(i));
        sums[i] = _mm256_set1_epi16(static_cast<short>(i));
    }
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < kSums256; i++)
            sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(codes[i], activations));
        activations = _mm256_add_epi8(activations, codes[1]);
    }
    int64_t lanes[4 * kSums256];
    for (int i = 0; i < kSums256; i++) _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + 4 * i), sums[i]);
    return folded(lanes);
}

#elif defined(LIMITS_ARM64)

constexpr int kSums128 = 16;

LIMITS_TARGET("arch=armv8.2-a+dotprod") int64_t sdot128(int64_t steps) {
    const int8x16_t codes = vdupq_n_s8(2);
    const int8x16_t activations = vdupq_n_s8(static_cast<int8_t>(steps));
    int32x4_t sums[kSums128];
    for (int i = 0; i < kSums128; i++) sums[i] = vdupq_n_s32(i);
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < kSums128; i++) sums[i] = vdotq_s32(sums[i], codes, activations);
    }
    int64_t lanes[2 * kSums128];
    for (int i = 0; i < kSums128; i++) vst1q_s64(lanes + 2 * i, vreinterpretq_s64_s32(sums[i]));
    return folded(lanes);
}

#endif

// By the numbers of the enum in LimitsLibrary.cs.
Dot dot_of(int32_t isa) {
    switch (isa) {
#if defined(LIMITS_X64)
        case 0:
            return {64 * kSums512, vpdpbusd512};
        case 1:
            return {64 * kSums512, vpmaddubsw512};
        case 2:
            return {32 * kSums256, vpmaddubsw256};
#elif defined(LIMITS_ARM64)
        case 3:
            return {16 * kSums128, sdot128};
#endif
        default:
            return {0, nullptr};
    }
}

}  // namespace

// The products that a step of an instruction set multiplies and adds; 0: this build has no such instructions.
LIMITS_API int64_t limits_products(int32_t isa) {
    return dot_of(isa).products;
}

// Runs the dot products of an instruction set from registers.
LIMITS_API int64_t limits_dot(int32_t isa, int64_t steps) {
    return dot_of(isa).run(steps);
}

// Reads memory once, in one stream. bytes is a multiple of 256.
LIMITS_API int64_t limits_read(const int64_t* memory, int64_t bytes) {
    int64_t sums[32] = {};
    for (int64_t at = 0; at < bytes / 8; at += 32) {
        for (int i = 0; i < 32; i++) sums[i] ^= memory[at + i];
    }
    return folded(sums);
}

// Asks for pages of 2 MB, which spare the reader most walks through the page table.
LIMITS_API void limits_use_huge_pages(void* memory, int64_t bytes) {
#if defined(__linux__)
    madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#else
    (void)memory;
    (void)bytes;
#endif
}
