// What the three ARM files share. A register holds the words of four rows; a byte of each, four columns.
#ifndef BITLAB_NEON_H
#define BITLAB_NEON_H

#include "kernel.h"

#if defined(BITLAB_ARM64)
#include <arm_neon.h>

// Loops over arrays of registers: only where they are unrolled do the arrays become registers.
#if defined(__GNUC__) && !defined(__clang__)
#define BITLAB_UNROLL _Pragma("GCC unroll 8")
#elif defined(__clang__)
#define BITLAB_UNROLL _Pragma("unroll")
#else
#define BITLAB_UNROLL
#endif

namespace bitlab {

constexpr int32_t kWordRows = 4;
constexpr int32_t kWordBytes = 16;

BITLAB_INLINE uint8x16_t load_words(const uint8_t* w) {
    return vld1q_u8(w);
}

// The codes of one field, which is four columns of each row. Intrinsics take their shifts as literals alone.
BITLAB_INLINE int8x16_t codes_of(uint8x16_t words, int field) {
    const uint8x16_t low = vdupq_n_u8(3);
    switch (field) {
        case 0:
            return vreinterpretq_s8_u8(vandq_u8(words, low));
        case 1:
            return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(words, 2), low));
        case 2:
            return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(words, 4), low));
        default:
            return vreinterpretq_s8_u8(vshrq_n_u8(words, 6));
    }
}

// Stores four outputs of a token, or what of them the matrix has. Without a call, across which sums would go to memory.
BITLAB_INLINE void store(float* y, float32x4_t values, int32_t rows_left) {
    if (rows_left >= kWordRows) {
        vst1q_f32(y, values);
    } else if (rows_left > 0) {
        float32x2_t last = vget_low_f32(values);
        if (rows_left >= 2) {
            vst1_f32(y, last);
            last = vget_high_f32(values);
        }
        if (rows_left != 2) vst1_lane_f32(y + (rows_left & 2), last, 0);
    }
}

// Rows `at` to `at` + 3 of a panel: from sums of codes to outputs.
BITLAB_INLINE void finish_int8(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t at,
                               int32_t token, int32x4_t sum) {
    const float32x4_t scale = vmulq_n_f32(vld1q_f32(epilogue.scales + at), p.x_scales[token]);
    const float32x4_t trits = vcvtq_f32_s32(vsubq_s32(sum, vdupq_n_s32(p.x_sums[token])));
    const float32x4_t y = vaddq_f32(vmulq_f32(trits, scale), vld1q_f32(epilogue.bias + at));
    store(p.output(token, panel * kPanelRows + at), y, epilogue.rows - at);
}

// A panel times the tile whose first token is `token`.
using Tile = void (*)(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token);

// `tiles` by the number of tokens, from 1.
inline void multiply_tiles(const Product& p, int32_t first_panel, int32_t end_panel, const Tile (&tiles)[kTileTokens]) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t first = 0; first < p.m; first += kTileTokens) {
            tiles[p.tile_tokens(first) - 1](p, epilogue, panel, first);
        }
    }
}

// Of gemm_neondot.cpp, for the tiles that i8mm has no use for.
void one_token_neondot(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token);
void two_tokens_neondot(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token);
void three_tokens_neondot(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token);

}  // namespace bitlab

#endif
#endif
