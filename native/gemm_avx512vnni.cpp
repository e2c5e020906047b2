// AVX-512 VNNI: 32 registers of 512 bits, a block of 16 rows in one of them; vpdpbusd multiplies four unsigned codes of
// each row by four signed activations and adds all four products to an int32 lane.
#include "avx512.h"

#if defined(BITLAB_X64)

namespace bitlab {
namespace {

constexpr int32_t kPrefetchBytes = 4096;

// Asks for the weights 4 KB ahead. For 8 tokens, whose steps take longer than their bytes, the processor's own
// prefetcher does not look far enough: 14 % faster where the weights are in no cache. For one token it does, but on a
// memory bus that others use too this is 4 % faster.
VNNI BITLAB_INLINE void prefetch(const uint8_t* w) {
    _mm_prefetch(reinterpret_cast<const char*>(w) + kPrefetchBytes, _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(w) + kPrefetchBytes + kBlockBytes, _MM_HINT_T0);
}

// One token or two: bound by reading the weights. The four fields of a byte are masked where they are and summed apart,
// worth 1, 4, 16 and 64; K is at most 2^19, so the last sum stays below 2^31 (PackedTernaryWeights.MaxColumns).
template <int Tokens>
VNNI void few_tokens_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x,
                          int32_t token, int32_t row) {
    const __m512i masks[4] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0C), _mm512_set1_epi8(0x30),
                              _mm512_set1_epi8(static_cast<char>(0xC0))};
    __m512i sums[4][Tokens][2];
#pragma GCC unroll 4
    for (int field = 0; field < 4; field++)
#pragma GCC unroll 2
        for (int t = 0; t < Tokens; t++) sums[field][t][0] = sums[field][t][1] = _mm512_setzero_si512();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        prefetch(w);
        const __m512i first = load_block(w), second = load_block(w + kBlockBytes);
#pragma GCC unroll 4
        for (int field = 0; field < 4; field++, x += Tokens * 4) {
            const __m512i codes0 = _mm512_and_si512(first, masks[field]);
            const __m512i codes1 = _mm512_and_si512(second, masks[field]);
#pragma GCC unroll 2
            for (int t = 0; t < Tokens; t++) {
                const __m512i four = broadcast_four(x + t * 4);
                add_products(sums[field][t][0], codes0, four);
                add_products(sums[field][t][1], codes1, four);
            }
        }
    }
#pragma GCC unroll 2
    for (int t = 0; t < Tokens; t++) {
        const __m512i first = sum_fields(sums[0][t][0], sums[1][t][0], sums[2][t][0], sums[3][t][0]);
        const __m512i second = sum_fields(sums[0][t][1], sums[1][t][1], sums[2][t][1], sums[3][t][1]);
        finish_int8(p, epilogue, token + t, row, first, second);
    }
}

// A whole tile: each block is decoded once, in registers, for all its tokens.
template <int Tokens>
VNNI void tile_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x, int32_t token,
                    int32_t row) {
    const __m512i low = _mm512_set1_epi8(3);
    __m512i sums[Tokens][2];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) sums[t][0] = sums[t][1] = _mm512_setzero_si512();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        prefetch(w);
        const __m512i first = load_block(w), second = load_block(w + kBlockBytes);
#pragma GCC unroll 4
        for (int field = 0; field < 4; field++, x += Tokens * 4) {
            const __m512i codes0 = _mm512_and_si512(_mm512_srli_epi32(first, 2 * field), low);
            const __m512i codes1 = _mm512_and_si512(_mm512_srli_epi32(second, 2 * field), low);
#pragma GCC unroll 8
            for (int t = 0; t < Tokens; t++) {
                const __m512i four = broadcast_four(x + t * 4);
                add_products(sums[t][0], codes0, four);
                add_products(sums[t][1], codes1, four);
            }
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) finish_int8(p, epilogue, token + t, row, sums[t][0], sums[t][1]);
}

// The outputs of a tile's tokens by `Panels` panels, from `panel` on. Few tokens take two panels: each addition waits
// for the one before it in the same output, so there must be others meanwhile.
template <int Tokens, int Panels>
VNNI void tile_float32(const Product& p, int32_t panel, int32_t token) {
    // By the lowest two bits of each lane: the trit of a code.
    const __m512 table = _mm512_set4_ps(0, 1, 0, -1);
    const uint8_t* w = p.panel(panel);
    const int64_t next_panel = p.panel(panel + 1) - w;
    const float* x = p.float32_tile(token);
    __m512 sums[Tokens][2 * Panels];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
        for (int i = 0; i < 2 * Panels; i++) sums[t][i] = _mm512_setzero_ps();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        __m512i blocks[2 * Panels];
#pragma GCC unroll 4
        for (int i = 0; i < 2 * Panels; i++) blocks[i] = load_block(w + i / 2 * next_panel + i % 2 * kBlockBytes);
#pragma GCC unroll 16
        for (int column = 0; column < kStepColumns; column++, x += Tokens) {
            const int shift = 8 * (column % 4) + 2 * (column / 4);
            __m512 trits[2 * Panels];
#pragma GCC unroll 4
            for (int i = 0; i < 2 * Panels; i++)
                trits[i] = _mm512_permutevar_ps(table, _mm512_srli_epi32(blocks[i], shift));
#pragma GCC unroll 8
            for (int t = 0; t < Tokens; t++) {
                __m512 value = _mm512_set1_ps(x[t]);
                BITLAB_KEEP_IN_REGISTER(value);
#pragma GCC unroll 4
                for (int i = 0; i < 2 * Panels; i++) {
                    // The product is exact, so fusing it with the addition changes nothing.
                    sums[t][i] = _mm512_fmadd_ps(trits[i], value, sums[t][i]);
                    BITLAB_KEEP_IN_REGISTER(sums[t][i]);
                }
            }
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < Panels; i++) {
        const int32_t row = (panel + i) * kPanelRows;
        const PanelEpilogue epilogue(p, row);
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; t++) {
            float* y = p.output(token + t, row);
            const __m512 y0 = _mm512_mul_ps(sums[t][2 * i], _mm512_load_ps(epilogue.scales));
            const __m512 y1 = _mm512_mul_ps(sums[t][2 * i + 1], _mm512_load_ps(epilogue.scales + 16));
            store(y, _mm512_add_ps(y0, _mm512_load_ps(epilogue.bias)), epilogue.rows);
            store(y + 16, _mm512_add_ps(y1, _mm512_load_ps(epilogue.bias + 16)), epilogue.rows - 16);
        }
    }
}

constexpr ZmmTile<int8_t> kInt8Tiles[kTileTokens] = {few_tokens_int8<1>, few_tokens_int8<2>, tile_int8<3>,
                                                     tile_int8<4>,       tile_int8<5>,       tile_int8<6>,
                                                     tile_int8<7>,       tile_int8<8>};
using Float32Tile = void (*)(const Product&, int32_t panel, int32_t token);

constexpr int32_t kPairedTokens = 3;
constexpr Float32Tile kFloat32Pairs[kPairedTokens] = {tile_float32<1, 2>, tile_float32<2, 2>, tile_float32<3, 2>};
constexpr Float32Tile kFloat32Tiles[kTileTokens] = {tile_float32<1, 1>, tile_float32<2, 1>, tile_float32<3, 1>,
                                                    tile_float32<4, 1>, tile_float32<5, 1>, tile_float32<6, 1>,
                                                    tile_float32<7, 1>, tile_float32<8, 1>};

}  // namespace

void multiply_int8_avx512vnni(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_zmm_tiles(p, kInt8Tiles, &Product::int8_tile, first_panel, end_panel);
}

void multiply_float32_avx512vnni(const Product& p, int32_t first_panel, int32_t end_panel) {
    for (int32_t first = 0; first < p.m; first += kTileTokens) {
        const int32_t tokens = p.tile_tokens(first);
        int32_t panel = first_panel;
        if (tokens <= kPairedTokens) {
            for (; panel + 1 < end_panel; panel += 2) kFloat32Pairs[tokens - 1](p, panel, first);
        }
        for (; panel < end_panel; panel++) kFloat32Tiles[tokens - 1](p, panel, first);
    }
}

}  // namespace bitlab

#endif
