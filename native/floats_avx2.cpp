// The float kernels with AVX2 and FMA: sixteen lanes are two registers.
#include "floats.h"

#if defined(BITLAB_X64)
#include <immintrin.h>

#define FLOATS BITLAB_TARGET("avx2,fma")

namespace bitlab {
namespace {
namespace avx2 {

constexpr int kAttendRows = 4;
constexpr int kDenseRows = 2;

struct Sixteen {
    __m256 low, high;
};

#define EACH(operation) {_mm256_##operation(a.low, b.low), _mm256_##operation(a.high, b.high)}

FLOATS BITLAB_INLINE Sixteen zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
FLOATS BITLAB_INLINE Sixteen set1(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
FLOATS BITLAB_INLINE Sixteen load(const float* source) {
    return {_mm256_loadu_ps(source), _mm256_loadu_ps(source + 8)};
}
FLOATS BITLAB_INLINE void store(float* target, Sixteen value) {
    _mm256_storeu_ps(target, value.low);
    _mm256_storeu_ps(target + 8, value.high);
}
FLOATS BITLAB_INLINE Sixteen add(Sixteen a, Sixteen b) { return EACH(add_ps); }
FLOATS BITLAB_INLINE Sixteen subtract(Sixteen a, Sixteen b) { return EACH(sub_ps); }
FLOATS BITLAB_INLINE Sixteen multiply(Sixteen a, Sixteen b) { return EACH(mul_ps); }
FLOATS BITLAB_INLINE Sixteen divide(Sixteen a, Sixteen b) { return EACH(div_ps); }
FLOATS BITLAB_INLINE Sixteen largest(Sixteen a, Sixteen b) { return EACH(max_ps); }
FLOATS BITLAB_INLINE Sixteen smallest(Sixteen a, Sixteen b) { return EACH(min_ps); }
FLOATS BITLAB_INLINE Sixteen fma(Sixteen a, Sixteen b, Sixteen c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
FLOATS BITLAB_INLINE Sixteen negate(Sixteen a) {
    const Sixteen b = set1(-0.0f);
    return EACH(xor_ps);
}
FLOATS BITLAB_INLINE Sixteen round_even(Sixteen a) {
    return {_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
FLOATS BITLAB_INLINE float square_root(float value) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(value))); }

FLOATS BITLAB_INLINE __m256 power_of_two(__m256 n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
FLOATS BITLAB_INLINE Sixteen power_of_two(Sixteen n) { return {power_of_two(n.low), power_of_two(n.high)}; }

FLOATS BITLAB_INLINE Sixteen zero_where_infinite(Sixteen value, Sixteen score) {
    const __m256 infinite = _mm256_set1_ps(-__builtin_huge_valf());
    return {_mm256_and_ps(value.low, _mm256_cmp_ps(score.low, infinite, _CMP_NEQ_UQ)),
            _mm256_and_ps(value.high, _mm256_cmp_ps(score.high, infinite, _CMP_NEQ_UQ))};
}

FLOATS BITLAB_INLINE __m256i load_halves(const uint16_t* source) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

FLOATS BITLAB_INLINE Sixteen load_bfloat16(const uint16_t* source) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(load_halves(source), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(load_halves(source + 8), 16))};
}

FLOATS BITLAB_INLINE __m256 half_to_float(__m256i half) {
    const __m256i magnitude = _mm256_slli_epi32(_mm256_and_si256(half, _mm256_set1_epi32(0x7FFF)), 13);
    const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(half, _mm256_set1_epi32(0x8000)), 16);
    return _mm256_or_ps(_mm256_mul_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(5.192296858534828e33f)),
                        _mm256_castsi256_ps(sign));
}

FLOATS BITLAB_INLINE Sixteen load_float16(const uint16_t* source) {
    return {half_to_float(load_halves(source)), half_to_float(load_halves(source + 8))};
}

FLOATS BITLAB_INLINE float sum_lanes(Sixteen a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

FLOATS BITLAB_INLINE float largest_lane(Sixteen a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

FLOATS BITLAB_INLINE void prefetch(const uint8_t* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
}

#include "floats.inl"

#undef EACH

}  // namespace avx2
}  // namespace

const Floats kFloatsAvx2 = {avx2::normalize, avx2::rotate, avx2::gate_squared_relu, avx2::gate_silu,
                            avx2::attend,    avx2::multiply_dense};

}  // namespace bitlab

#endif
