// The float kernels with NEON: sixteen lanes are four registers.
#include "floats.h"

#if defined(BITLAB_ARM64)
#include <arm_neon.h>

#define FLOATS

namespace bitlab {
namespace {
namespace neon {

constexpr int kAttendRows = 4;
constexpr int kDenseRows = 2;

struct Sixteen {
    float32x4_t parts[4];
};

#define EACH(expression)                                      \
    Sixteen result;                                           \
    for (int i = 0; i < 4; i++) result.parts[i] = expression; \
    return result

FLOATS BITLAB_INLINE Sixteen zero() { EACH(vdupq_n_f32(0)); }
FLOATS BITLAB_INLINE Sixteen set1(float value) { EACH(vdupq_n_f32(value)); }
FLOATS BITLAB_INLINE Sixteen load(const float* source) { EACH(vld1q_f32(source + 4 * i)); }
FLOATS BITLAB_INLINE void store(float* target, Sixteen value) {
    for (int i = 0; i < 4; i++) vst1q_f32(target + 4 * i, value.parts[i]);
}
FLOATS BITLAB_INLINE Sixteen add(Sixteen a, Sixteen b) { EACH(vaddq_f32(a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen subtract(Sixteen a, Sixteen b) { EACH(vsubq_f32(a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen multiply(Sixteen a, Sixteen b) { EACH(vmulq_f32(a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen divide(Sixteen a, Sixteen b) { EACH(vdivq_f32(a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen fma(Sixteen a, Sixteen b, Sixteen c) { EACH(vfmaq_f32(c.parts[i], a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen largest(Sixteen a, Sixteen b) { EACH(vmaxq_f32(a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen smallest(Sixteen a, Sixteen b) { EACH(vminq_f32(a.parts[i], b.parts[i])); }
FLOATS BITLAB_INLINE Sixteen negate(Sixteen a) { EACH(vnegq_f32(a.parts[i])); }
FLOATS BITLAB_INLINE Sixteen round_even(Sixteen a) { EACH(vrndnq_f32(a.parts[i])); }
FLOATS BITLAB_INLINE float square_root(float value) { return vgetq_lane_f32(vsqrtq_f32(vdupq_n_f32(value)), 0); }

FLOATS BITLAB_INLINE Sixteen power_of_two(Sixteen n) {
    EACH(vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.parts[i]), vdupq_n_s32(127)), 23)));
}

FLOATS BITLAB_INLINE Sixteen zero_where_infinite(Sixteen value, Sixteen score) {
    const float32x4_t infinite = vdupq_n_f32(-__builtin_huge_valf());
    EACH(vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(value.parts[i]), vceqq_f32(score.parts[i], infinite))));
}

FLOATS BITLAB_INLINE Sixteen load_bfloat16(const uint16_t* source) {
    EACH(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(source + 4 * i), 16)));
}

FLOATS BITLAB_INLINE float32x4_t half_to_float(uint32x4_t half) {
    const uint32x4_t magnitude = vshlq_n_u32(vandq_u32(half, vdupq_n_u32(0x7FFF)), 13);
    const uint32x4_t sign = vshlq_n_u32(vandq_u32(half, vdupq_n_u32(0x8000)), 16);
    const float32x4_t value = vmulq_f32(vreinterpretq_f32_u32(magnitude), vdupq_n_f32(5.192296858534828e33f));
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(value), sign));
}

FLOATS BITLAB_INLINE Sixteen load_float16(const uint16_t* source) {
    EACH(half_to_float(vmovl_u16(vld1_u16(source + 4 * i))));
}

FLOATS BITLAB_INLINE float sum_lanes(Sixteen a) {
    const float32x4_t four = vaddq_f32(vaddq_f32(a.parts[0], a.parts[2]), vaddq_f32(a.parts[1], a.parts[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

FLOATS BITLAB_INLINE float largest_lane(Sixteen a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.parts[0], a.parts[1]), vmaxq_f32(a.parts[2], a.parts[3])));
}

FLOATS BITLAB_INLINE void prefetch(const uint8_t*) {}

#include "floats.inl"

#undef EACH

}  // namespace neon
}  // namespace

const Floats kFloatsNeon = {neon::normalize, neon::rotate, neon::gate_squared_relu, neon::gate_silu,
                            neon::attend,    neon::multiply_dense};

}  // namespace bitlab

#endif
