// NEON with the dot product: sdot multiplies four codes of each of four rows by four activations, picked as a lane of a
// register that holds four such groups, and adds all four products to an int32 lane.
#include "neon.h"

#if defined(BITLAB_ARM64_DOTPROD)

#if defined(__ARM_FEATURE_DOTPROD) || !defined(__GNUC__)
#define DOTPROD
#else
#define DOTPROD BITLAB_TARGET("arch=armv8.2-a+dotprod")
#endif

namespace bitlab {
namespace {

DOTPROD BITLAB_INLINE int32x4_t dot(int32x4_t sum, int8x16_t codes, int8x16_t x, int lane) {
    switch (lane) {
        case 0:
            return vdotq_laneq_s32(sum, codes, x, 0);
        case 1:
            return vdotq_laneq_s32(sum, codes, x, 1);
        case 2:
            return vdotq_laneq_s32(sum, codes, x, 2);
        default:
            return vdotq_laneq_s32(sum, codes, x, 3);
    }
}

// As many rows at a time as leave registers free, and 16 sums at most. A step of eight tokens by eight rows is 64 sdot,
// 12 instructions to decode and 10 loads.
template <int Tokens>
DOTPROD void tile_int8(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    constexpr int kWords = Tokens == 2 ? 8 : Tokens <= 4 ? 4 : 2;
    for (int32_t at = 0; at < epilogue.rows; at += kWords * kWordRows) {
        const uint8_t* w = p.panel(panel) + at * 4;
        const int8_t* x = p.int8_tile(token);
        int32x4_t sums[Tokens][kWords];
        BITLAB_UNROLL
        for (int t = 0; t < Tokens; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) sums[t][i] = vdupq_n_s32(0);
        }
        for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes, x += kStepColumns * Tokens) {
            uint8x16_t words[kWords];
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) words[i] = load_words(w + i * kWordBytes);
            BITLAB_UNROLL
            for (int field = 0; field < 4; field++) {
                int8x16_t codes[kWords];
                BITLAB_UNROLL
                for (int i = 0; i < kWords; i++) codes[i] = codes_of(words[i], field);
                BITLAB_UNROLL
                for (int t = 0; t < Tokens; t++) {
                    const int group = field * Tokens + t;
                    const int8x16_t four_groups = vld1q_s8(x + group / 4 * 16);
                    BITLAB_UNROLL
                    for (int i = 0; i < kWords; i++) sums[t][i] = dot(sums[t][i], codes[i], four_groups, group % 4);
                }
            }
        }
        BITLAB_UNROLL
        for (int t = 0; t < Tokens; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) {
                finish_int8(p, epilogue, panel, at + i * kWordRows, token + t, sums[t][i]);
            }
        }
    }
}

}  // namespace

// The panel is read once, in order. Three fields of a byte are masked where they are, worth 1, 4 and 16, and summed
// apart: K is at most 2^19, so the last sum stays below 2^31. The fourth would be negative there, so it is shifted and
// added to the first.
DOTPROD void one_token_neondot(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    constexpr int kWords = kPanelRows / kWordRows;
    const uint8x16_t mask0 = vdupq_n_u8(0x03), mask1 = vdupq_n_u8(0x0C), mask2 = vdupq_n_u8(0x30);
    const uint8_t* w = p.panel(panel);
    const int8_t* x = p.int8_tile(token);
    int32x4_t ones[kWords], fours[kWords], sixteens[kWords];
    BITLAB_UNROLL
    for (int i = 0; i < kWords; i++) ones[i] = fours[i] = sixteens[i] = vdupq_n_s32(0);
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes, x += kStepColumns) {
        const int8x16_t four_groups = vld1q_s8(x);
        BITLAB_UNROLL
        for (int i = 0; i < kWords; i++) {
            const uint8x16_t words = load_words(w + i * kWordBytes);
            ones[i] = dot(ones[i], vreinterpretq_s8_u8(vandq_u8(words, mask0)), four_groups, 0);
            fours[i] = dot(fours[i], vreinterpretq_s8_u8(vandq_u8(words, mask1)), four_groups, 1);
            sixteens[i] = dot(sixteens[i], vreinterpretq_s8_u8(vandq_u8(words, mask2)), four_groups, 2);
            ones[i] = dot(ones[i], codes_of(words, 3), four_groups, 3);
        }
    }
    BITLAB_UNROLL
    for (int i = 0; i < kWords; i++) {
        // Every lane is a multiple of what its field is worth, so the shifts lose nothing.
        const int32x4_t sum = vsraq_n_s32(vsraq_n_s32(ones[i], fours[i], 2), sixteens[i], 4);
        finish_int8(p, epilogue, panel, i * kWordRows, token, sum);
    }
}

void two_tokens_neondot(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    tile_int8<2>(p, epilogue, panel, token);
}

void three_tokens_neondot(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    tile_int8<3>(p, epilogue, panel, token);
}

void multiply_int8_neondot(const Product& p, int32_t first_panel, int32_t end_panel) {
    static constexpr Tile kTiles[kTileTokens] = {one_token_neondot, tile_int8<2>, tile_int8<3>, tile_int8<4>,
                                                 tile_int8<5>,      tile_int8<6>, tile_int8<7>, tile_int8<8>};
    multiply_tiles(p, first_panel, end_panel, kTiles);
}

}  // namespace bitlab

#endif
