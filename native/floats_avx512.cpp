// The float kernels with AVX-512: sixteen lanes are one register.
#include "floats.h"

#if defined(BITLAB_X64)
#include <immintrin.h>

#define FLOATS BITLAB_TARGET("avx512f,avx512bw,avx512dq,avx512vl,fma")

namespace bitlab {
namespace {
namespace avx512 {

constexpr int kAttendRows = 8;
constexpr int kDenseRows = 4;

using Sixteen = __m512;

FLOATS BITLAB_INLINE Sixteen zero() { return _mm512_setzero_ps(); }
FLOATS BITLAB_INLINE Sixteen set1(float value) { return _mm512_set1_ps(value); }
FLOATS BITLAB_INLINE Sixteen load(const float* source) { return _mm512_loadu_ps(source); }
FLOATS BITLAB_INLINE void store(float* target, Sixteen value) { _mm512_storeu_ps(target, value); }
FLOATS BITLAB_INLINE Sixteen add(Sixteen a, Sixteen b) { return _mm512_add_ps(a, b); }
FLOATS BITLAB_INLINE Sixteen subtract(Sixteen a, Sixteen b) { return _mm512_sub_ps(a, b); }
FLOATS BITLAB_INLINE Sixteen multiply(Sixteen a, Sixteen b) { return _mm512_mul_ps(a, b); }
FLOATS BITLAB_INLINE Sixteen divide(Sixteen a, Sixteen b) { return _mm512_div_ps(a, b); }
FLOATS BITLAB_INLINE Sixteen fma(Sixteen a, Sixteen b, Sixteen c) { return _mm512_fmadd_ps(a, b, c); }
FLOATS BITLAB_INLINE Sixteen largest(Sixteen a, Sixteen b) { return _mm512_max_ps(a, b); }
FLOATS BITLAB_INLINE Sixteen smallest(Sixteen a, Sixteen b) { return _mm512_min_ps(a, b); }
FLOATS BITLAB_INLINE Sixteen negate(Sixteen a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
FLOATS BITLAB_INLINE Sixteen round_even(Sixteen a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FLOATS BITLAB_INLINE float square_root(float value) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(value))); }

FLOATS BITLAB_INLINE Sixteen power_of_two(Sixteen n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

FLOATS BITLAB_INLINE Sixteen zero_where_infinite(Sixteen value, Sixteen score) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(score, _mm512_set1_ps(-__builtin_huge_valf()), _CMP_NEQ_UQ), value);
}

FLOATS BITLAB_INLINE __m512i load_halves(const uint16_t* source) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
}

FLOATS BITLAB_INLINE Sixteen load_bfloat16(const uint16_t* source) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(load_halves(source), 16));
}

// vcvtph2ps gives what the definition does for all that is finite.
FLOATS BITLAB_INLINE Sixteen load_float16(const uint16_t* source) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
}

FLOATS BITLAB_INLINE float sum_lanes(Sixteen a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

FLOATS BITLAB_INLINE float largest_lane(Sixteen a) { return _mm512_reduce_max_ps(a); }

FLOATS BITLAB_INLINE void prefetch(const uint8_t* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
}

#include "floats.inl"

}  // namespace avx512
}  // namespace

const Floats kFloatsAvx512 = {avx512::normalize, avx512::rotate, avx512::gate_squared_relu, avx512::gate_silu,
                              avx512::attend,    avx512::multiply_dense};

}  // namespace bitlab

#endif
