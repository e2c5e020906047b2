#include "cpu.h"

#include "kernel.h"

#if defined(BITLAB_X64) && defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#elif defined(BITLAB_X64)
#include <cpuid.h>
#endif

#if defined(BITLAB_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(BITLAB_ARM64) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(BITLAB_ARM64) && defined(_WIN32)
#include <windows.h>
#endif

namespace bitlab {

#if defined(BITLAB_X64) && (defined(__GNUC__) || defined(__clang__))

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avxvnni() {
#if defined(BITLAB_AVXVNNI_AS_AVX512)
    return has_avx512vnni();
#else
    // Asked directly: __builtin_cpu_supports learned this name late.
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4));
#endif
}

bool has_avx512vnni() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

bool has_avx512vbmi() {
    return has_avx512vnni() && __builtin_cpu_supports("avx512vbmi");
}

#elif defined(BITLAB_X64)

namespace {

// Leaf 7 of CPUID, and which registers the operating system saves.
struct Features {
    int basic[4];
    int extended[4];
    int extended1[4];
    unsigned long long saved;
    Features() : basic(), extended(), extended1(), saved(0) {
        __cpuidex(basic, 1, 0);
        __cpuidex(extended, 7, 0);
        if (extended[0] >= 1) __cpuidex(extended1, 7, 1);
        if (basic[2] & (1 << 27)) saved = _xgetbv(0);
    }
};

constexpr unsigned long long kSavesYmm = 0x06;
constexpr unsigned long long kSavesZmm = 0xE6;

}  // namespace

bool has_avx2() {
    const Features f;
    return (f.saved & kSavesYmm) == kSavesYmm && (f.basic[2] & (1 << 12)) && (f.extended[1] & (1 << 5));
}

bool has_avxvnni() {
    const Features f;
    return has_avx2() && (f.extended1[0] & (1 << 4));
}

bool has_avx512vnni() {
    const Features f;
    const unsigned f_dq_bw_vl = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
    return (f.saved & kSavesZmm) == kSavesZmm && (static_cast<unsigned>(f.extended[1]) & f_dq_bw_vl) == f_dq_bw_vl &&
           (f.extended[2] & (1 << 11));
}

bool has_avx512vbmi() {
    const Features f;
    return has_avx512vnni() && (f.extended[2] & (1 << 1));
}

#else

bool has_avx2() {
    return false;
}
bool has_avxvnni() {
    return false;
}
bool has_avx512vnni() {
    return false;
}
bool has_avx512vbmi() {
    return false;
}

#endif

#if defined(BITLAB_ARM64)

bool has_neon() {
    return true;  // part of AArch64
}

#if defined(__linux__)

// The kernel's bits, by number: not every C library's headers name them.
bool has_neon_dotprod() {
    constexpr unsigned long asimddp = 1ul << 20;
    return (getauxval(AT_HWCAP) & asimddp) != 0;
}

bool has_neon_i8mm() {
    constexpr unsigned long i8mm = 1ul << 13;
    return has_neon_dotprod() && (getauxval(AT_HWCAP2) & i8mm) != 0;
}

#elif defined(__APPLE__)

namespace {

bool has(const char* feature) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace

bool has_neon_dotprod() {
    return has("hw.optional.arm.FEAT_DotProd");
}

bool has_neon_i8mm() {
    return has_neon_dotprod() && has("hw.optional.arm.FEAT_I8MM");
}

#elif defined(_WIN32)

bool has_neon_dotprod() {
#if defined(PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE)
    return IsProcessorFeaturePresent(PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE) != 0;
#else
    return false;
#endif
}

bool has_neon_i8mm() {
#if defined(PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE)
    return has_neon_dotprod() && IsProcessorFeaturePresent(PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE) != 0;
#else
    return false;
#endif
}

#else

bool has_neon_dotprod() {
    return false;
}
bool has_neon_i8mm() {
    return false;
}

#endif
#else

bool has_neon() {
    return false;
}
bool has_neon_dotprod() {
    return false;
}
bool has_neon_i8mm() {
    return false;
}

#endif

}  // namespace bitlab
