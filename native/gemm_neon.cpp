// NEON as every ARMv8-A has it: smlal multiplies eight codes by eight activations and adds to eight int16 lanes. And
// the float32 kernel of all ARM machines, since the newer instructions are for integers.
#include "neon.h"

#if defined(BITLAB_ARM64)

namespace bitlab {
namespace {

// A product is -256 at least and 254 at most, and a lane takes four of each step: after 32 steps it holds -32768 at
// least and 32512 at most.
constexpr int32_t kStepsInShorts = 32;

BITLAB_INLINE int8x16_t broadcast_group(int8x16_t groups, int lane) {
    const int32x4_t x = vreinterpretq_s32_s8(groups);
    switch (lane) {
        case 0:
            return vreinterpretq_s8_s32(vdupq_laneq_s32(x, 0));
        case 1:
            return vreinterpretq_s8_s32(vdupq_laneq_s32(x, 1));
        case 2:
            return vreinterpretq_s8_s32(vdupq_laneq_s32(x, 2));
        default:
            return vreinterpretq_s8_s32(vdupq_laneq_s32(x, 3));
    }
}

// `Tokens` tokens from `First` on of a tile of `Tile`.
template <int Tile, int First, int Tokens>
void part_int8(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    constexpr int kWords = Tokens == 1 ? 8 : Tokens == 2 ? 4 : 2;
    for (int32_t at = 0; at < epilogue.rows; at += kWords * kWordRows) {
        const uint8_t* w = p.panel(panel) + at * 4;
        const int8_t* x = p.int8_tile(token);
        int32x4_t sums[Tokens][kWords];
        BITLAB_UNROLL
        for (int t = 0; t < Tokens; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) sums[t][i] = vdupq_n_s32(0);
        }
        for (int32_t k = 0; k < p.k;) {
            const int32_t left = p.k - k, most = kStepsInShorts * kStepColumns, end = k + (left < most ? left : most);
            int16x8_t shorts[Tokens][kWords][2];
            BITLAB_UNROLL
            for (int t = 0; t < Tokens; t++) {
                BITLAB_UNROLL
                for (int i = 0; i < kWords; i++) shorts[t][i][0] = shorts[t][i][1] = vdupq_n_s16(0);
            }
            for (; k < end; k += kStepColumns, w += kStepBytes, x += kStepColumns * Tile) {
                uint8x16_t words[kWords];
                BITLAB_UNROLL
                for (int i = 0; i < kWords; i++) words[i] = load_words(w + i * kWordBytes);
                BITLAB_UNROLL
                for (int field = 0; field < 4; field++) {
                    int8x16_t four[Tokens];
                    BITLAB_UNROLL
                    for (int t = 0; t < Tokens; t++) {
                        const int group = field * Tile + First + t;
                        four[t] = broadcast_group(vld1q_s8(x + group / 4 * 16), group % 4);
                    }
                    BITLAB_UNROLL
                    for (int i = 0; i < kWords; i++) {
                        const int8x16_t codes = codes_of(words[i], field);
                        BITLAB_UNROLL
                        for (int t = 0; t < Tokens; t++) {
                            shorts[t][i][0] = vmlal_s8(shorts[t][i][0], vget_low_s8(codes), vget_low_s8(four[t]));
                            shorts[t][i][1] = vmlal_high_s8(shorts[t][i][1], codes, four[t]);
                        }
                    }
                }
            }
            // A row has four lanes side by side.
            BITLAB_UNROLL
            for (int t = 0; t < Tokens; t++) {
                BITLAB_UNROLL
                for (int i = 0; i < kWords; i++) {
                    const int32x4_t rows = vpaddq_s32(vpaddlq_s16(shorts[t][i][0]), vpaddlq_s16(shorts[t][i][1]));
                    sums[t][i] = vaddq_s32(sums[t][i], rows);
                }
            }
        }
        BITLAB_UNROLL
        for (int t = 0; t < Tokens; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) {
                finish_int8(p, epilogue, panel, at + i * kWordRows, token + First + t, sums[t][i]);
            }
        }
    }
}

// Four tokens by eight rows fill the registers: a step is 64 smlal, 16 broadcasts, 12 instructions to decode and 6
// loads.
template <int Tokens>
void tile_int8(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    if constexpr (Tokens <= 4) {
        part_int8<Tokens, 0, Tokens>(p, epilogue, panel, token);
    } else {
        part_int8<Tokens, 0, 4>(p, epilogue, panel, token);
        part_int8<Tokens, 4, Tokens - 4>(p, epilogue, panel, token);
    }
}

BITLAB_INLINE float32x4_t multiply_add(float32x4_t sum, float32x4_t trits, float32x4_t x, int lane) {
    // The product is exact, so fusing it with the addition changes nothing.
    switch (lane) {
        case 0:
            return vfmaq_laneq_f32(sum, trits, x, 0);
        case 1:
            return vfmaq_laneq_f32(sum, trits, x, 1);
        case 2:
            return vfmaq_laneq_f32(sum, trits, x, 2);
        default:
            return vfmaq_laneq_f32(sum, trits, x, 3);
    }
}

// Picks the first byte of each lane for the lane's top byte; what is out of range becomes zero.
alignas(16) constexpr uint8_t kFirstToTop[16] = {128, 128, 128, 0, 128, 128, 128, 4,
                                                 128, 128, 128, 8, 128, 128, 128, 12};

template <int Tokens>
void tile_float32(const Product& p, const PanelEpilogue& epilogue, int32_t panel, int32_t token) {
    constexpr int kWords = Tokens <= 2 ? 4 : 2;
    const int8x16_t one = vdupq_n_s8(1);
    uint8x16_t to_top[4];
    BITLAB_UNROLL
    for (int b = 0; b < 4; b++) to_top[b] = vaddq_u8(vld1q_u8(kFirstToTop), vdupq_n_u8(static_cast<uint8_t>(b)));
    for (int32_t at = 0; at < epilogue.rows; at += kWords * kWordRows) {
        const uint8_t* w = p.panel(panel) + at * 4;
        const float* x = p.float32_tile(token);
        float32x4_t sums[Tokens][kWords];
        BITLAB_UNROLL
        for (int t = 0; t < Tokens; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) sums[t][i] = vdupq_n_f32(0);
        }
        for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
            uint8x16_t words[kWords];
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) words[i] = load_words(w + i * kWordBytes);
            BITLAB_UNROLL
            for (int field = 0; field < 4; field++, x += 4 * Tokens) {
                int8x16_t bytes[kWords];
                BITLAB_UNROLL
                for (int i = 0; i < kWords; i++) bytes[i] = vsubq_s8(codes_of(words[i], field), one);
                BITLAB_UNROLL
                for (int b = 0; b < 4; b++) {
                    float32x4_t trits[kWords];
                    BITLAB_UNROLL
                    for (int i = 0; i < kWords; i++) {
                        const int8x16_t top = vqtbl1q_s8(bytes[i], to_top[b]);
                        trits[i] = vcvtq_n_f32_s32(vreinterpretq_s32_s8(top), 24);  // divides by 2^24
                    }
                    BITLAB_UNROLL
                    for (int t = 0; t < Tokens; t++) {
                        const int value = b * Tokens + t;
                        const float32x4_t four = vld1q_f32(x + value / 4 * 4);
                        BITLAB_UNROLL
                        for (int i = 0; i < kWords; i++) {
                            sums[t][i] = multiply_add(sums[t][i], trits[i], four, value % 4);
                        }
                    }
                }
            }
        }
        BITLAB_UNROLL
        for (int t = 0; t < Tokens; t++) {
            BITLAB_UNROLL
            for (int i = 0; i < kWords; i++) {
                const int32_t row = at + i * kWordRows;
                const float32x4_t y =
                    vaddq_f32(vmulq_f32(sums[t][i], vld1q_f32(epilogue.scales + row)), vld1q_f32(epilogue.bias + row));
                store(p.output(token + t, panel * kPanelRows + row), y, epilogue.rows - row);
            }
        }
    }
}

}  // namespace

void multiply_int8_neon(const Product& p, int32_t first_panel, int32_t end_panel) {
    static constexpr Tile kTiles[kTileTokens] = {tile_int8<1>, tile_int8<2>, tile_int8<3>, tile_int8<4>,
                                                 tile_int8<5>, tile_int8<6>, tile_int8<7>, tile_int8<8>};
    multiply_tiles(p, first_panel, end_panel, kTiles);
}

void multiply_float32_neon(const Product& p, int32_t first_panel, int32_t end_panel) {
    static constexpr Tile kTiles[kTileTokens] = {tile_float32<1>, tile_float32<2>, tile_float32<3>, tile_float32<4>,
                                                 tile_float32<5>, tile_float32<6>, tile_float32<7>, tile_float32<8>};
    multiply_tiles(p, first_panel, end_panel, kTiles);
}

}  // namespace bitlab

#endif
