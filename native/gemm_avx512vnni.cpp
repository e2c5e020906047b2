// AVX-512 VNNI: 32 registers of 512 bits, a block of 16 rows in one of them; vpdpbusd multiplies four unsigned codes of
// each row by four signed activations and adds all four products to an int32 lane.
#include "avx512.h"

#if defined(BITLAB_X64)

namespace bitlab {
namespace {

// One token or two: bound by reading the weights. The four fields of a byte are masked where they are and summed apart,
// worth 1, 4, 16 and 64; K is at most 2^19, so the last sum stays below 2^31 (PackedTernaryWeights.MaxColumns).
// Memory is read in one stream without prefetch instructions: the processor's own prefetcher was 5 to 10 % faster.
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

template <int Tokens>
VNNI void tile_float32(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const float* x, int32_t token,
                       int32_t row) {
    // The permutation looks at the lowest four bits of each lane; the two above the code are a neighbour's, so the
    // table repeats.
    const __m512 table = _mm512_setr_ps(-1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0);
    __m512 sums[Tokens][2];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        const __m512i first = load_block(w), second = load_block(w + kBlockBytes);
#pragma GCC unroll 16
        for (int column = 0; column < kStepColumns; column++, x += Tokens) {
            const int shift = 8 * (column % 4) + 2 * (column / 4);
            const __m512 trits0 = _mm512_permutexvar_ps(_mm512_srli_epi32(first, shift), table);
            const __m512 trits1 = _mm512_permutexvar_ps(_mm512_srli_epi32(second, shift), table);
#pragma GCC unroll 8
            for (int t = 0; t < Tokens; t++) {
                const __m512 value = _mm512_set1_ps(x[t]);
                // The product is exact, so fusing it with the addition changes nothing.
                sums[t][0] = _mm512_fmadd_ps(trits0, value, sums[t][0]);
                sums[t][1] = _mm512_fmadd_ps(trits1, value, sums[t][1]);
            }
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) {
        float* y = p.output(token + t, row);
        const __m512 y0 = _mm512_mul_ps(sums[t][0], _mm512_load_ps(epilogue.scales));
        const __m512 y1 = _mm512_mul_ps(sums[t][1], _mm512_load_ps(epilogue.scales + 16));
        store(y, _mm512_add_ps(y0, _mm512_load_ps(epilogue.bias)), epilogue.rows);
        store(y + 16, _mm512_add_ps(y1, _mm512_load_ps(epilogue.bias + 16)), epilogue.rows - 16);
    }
}

constexpr ZmmTile<int8_t> kInt8Tiles[kTileTokens] = {few_tokens_int8<1>, few_tokens_int8<2>, tile_int8<3>,
                                                     tile_int8<4>,       tile_int8<5>,       tile_int8<6>,
                                                     tile_int8<7>,       tile_int8<8>};
constexpr ZmmTile<float> kFloat32Tiles[kTileTokens] = {tile_float32<1>, tile_float32<2>, tile_float32<3>,
                                                       tile_float32<4>, tile_float32<5>, tile_float32<6>,
                                                       tile_float32<7>, tile_float32<8>};

}  // namespace

void multiply_int8_avx512vnni(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_zmm_tiles(p, kInt8Tiles, &Product::int8_tile, first_panel, end_panel);
}

void multiply_float32_avx512vnni(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_zmm_tiles(p, kFloat32Tiles, &Product::float32_tile, first_panel, end_panel);
}

}  // namespace bitlab

#endif
