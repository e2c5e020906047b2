// NEON with i8mm: smmla multiplies two rows by two tokens, eight columns of each, and adds the products to four int32
// lanes: row 0 by token 0, row 0 by token 1, row 1 by token 0, row 1 by token 1.
#include "neon.h"

#if defined(BITLAB_ARM64_DOTPROD)

// A build's own instructions beyond ARMv8.2 stay, so that what it inlines here may use them.
#if defined(__ARM_FEATURE_MATMUL_INT8) || !defined(__GNUC__)
#define I8MM
#elif defined(__ARM_FEATURE_DOTPROD)
#define I8MM BITLAB_TARGET("+i8mm")
#else
#define I8MM BITLAB_TARGET("arch=armv8.2-a+i8mm")
#endif

namespace bitlab {
namespace {

// Four columns of two tokens, in the lower half.
BITLAB_INLINE int32x4_t load_group(const int8_t* x) {
    return vreinterpretq_s32_s8(vcombine_s8(vld1_s8(x), vdup_n_s8(0)));
}

// Of an odd number of tokens, the last pair takes the one before it along: its outputs are written twice.
constexpr int first_of_pair(int tokens, int pair) {
    return 2 * pair < tokens - 1 ? 2 * pair : tokens - 2;
}

// A step of eight tokens by eight rows is 32 smmla, 18 instructions to decode, 8 to pair the tokens and 18 loads.
template <int Tokens>
I8MM void tile_int8(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    constexpr int kWords = Tokens <= 4 ? 4 : 2, kPairs = (Tokens + 1) / 2;
    const uint8x16_t low = vdupq_n_u8(3);
    for (int32_t at = 0; at < epilogue.rows; at += kWords * kWordRows) {
        const uint8_t* w = p.panel(panel) + at * 4;
        const int8_t* x = p.int8_tile(token);
        int32x4_t sums[kPairs][kWords][2];
        BITLAB_UNROLL
        for (int t = 0; t < kPairs; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) sums[t][i][0] = sums[t][i][1] = vdupq_n_s32(0);
        }
        for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
            // Two rows in a register, each beside itself shifted by a field: fields 0 and 1 lie in the lowest two bits
            // of the bytes, fields 2 and 3 four bits above.
            uint8x16_t rows[kWords][2];
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) {
                const uint8x16_t words = load_words(w + i * kWordBytes);
                const uint32x4_t even = vreinterpretq_u32_u8(words), odd = vreinterpretq_u32_u8(vshrq_n_u8(words, 2));
                rows[i][0] = vreinterpretq_u8_u32(vzip1q_u32(even, odd));
                rows[i][1] = vreinterpretq_u8_u32(vzip2q_u32(even, odd));
            }
            BITLAB_UNROLL
            for (int half = 0; half < 2; half++, x += 8 * Tokens) {
                int8x16_t pairs[kPairs];
                BITLAB_UNROLL
                for (int t = 0; t < kPairs; t++) {
                    const int8_t* group = x + first_of_pair(Tokens, t) * 4;
                    const int32x4_t even = load_group(group), odd = load_group(group + 4 * Tokens);
                    pairs[t] = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
                }
                BITLAB_UNROLL
                for (int i = 0; i < kWords; i++) {
                    BITLAB_UNROLL
                    for (int j = 0; j < 2; j++) {
                        const uint8x16_t shifted = half == 0 ? rows[i][j] : vshrq_n_u8(rows[i][j], 4);
                        const int8x16_t codes = vreinterpretq_s8_u8(vandq_u8(shifted, low));
                        BITLAB_UNROLL
                        for (int t = 0; t < kPairs; t++) sums[t][i][j] = vmmlaq_s32(sums[t][i][j], codes, pairs[t]);
                    }
                }
            }
        }
        BITLAB_UNROLL
        for (int t = 0; t < kPairs; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) {
                const int32x4_t first = vuzp1q_s32(sums[t][i][0], sums[t][i][1]),
                                second = vuzp2q_s32(sums[t][i][0], sums[t][i][1]);
                const int32_t row = at + i * kWordRows, pair = token + first_of_pair(Tokens, t);
                finish_int8(p, epilogue, panel, row, pair, first);
                finish_int8(p, epilogue, panel, row, pair + 1, second);
            }
        }
    }
}

}  // namespace

void multiply_int8_i8mm(const Product& p, int32_t first_panel, int32_t end_panel) {
    // Up to three tokens, sdot takes no more instructions.
    static constexpr Tile kTiles[kTileTokens] = {one_token_neondot, two_tokens_neondot, three_tokens_neondot,
                                                 tile_int8<4>,      tile_int8<5>,       tile_int8<6>,
                                                 tile_int8<7>,      tile_int8<8>};
    multiply_tiles(p, first_panel, end_panel, kTiles);
}

}  // namespace bitlab

#endif
