// AVX2: 16 registers of 256 bits; vpmaddubsw multiplies unsigned codes by signed activations and adds pairs of products
// to int16, which take some steps before they must be folded into int32.
#include "avx2.h"

#if defined(BITLAB_X64)

namespace bitlab {
namespace {

// A 16-bit lane gets four fields of two products of at most 2 * 128 from each step: 15 * 2048 < 2^15.
constexpr int32_t kStepsPerFold = 15;
// In place, the upper field of a nibble is worth 4: two of them give 2 * 2048 a step, 7 * 4096 < 2^15.
constexpr int32_t kStepsPerFoldInPlace = 7;

AVX2 BITLAB_INLINE __m256i add_pairs(__m256i sums, __m256i shorts) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(shorts, _mm256_set1_epi16(1)));
}

AVX2 BITLAB_INLINE void add_products(__m256i& shorts, __m256i codes, __m256i x) {
    shorts = _mm256_add_epi16(shorts, _mm256_maddubs_epi16(codes, x));
    BITLAB_KEEP_IN_REGISTER(shorts);
}

// One token: bound by reading the weights. Two of the four fields of a byte are masked where they are.
AVX2 void one_token_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x,
                         int32_t token, int32_t row, int32_t) {
    const __m256i lower = _mm256_set1_epi8(0x03), upper = _mm256_set1_epi8(0x0C);
    alignas(32) __m256i sums[4];
    for (int i = 0; i < 4; i++) sums[i] = _mm256_setzero_si256();
    for (int32_t step = p.k / kStepColumns; step > 0; step -= kStepsPerFoldInPlace) {
        const int32_t steps = step < kStepsPerFoldInPlace ? step : kStepsPerFoldInPlace;
        __m256i ones[4], fours[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) ones[i] = fours[i] = _mm256_setzero_si256();
        for (int32_t s = 0; s < steps; s++, w += kStepBytes, x += kStepColumns) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const __m256i words = load_words(w + i * kYmmBytes), high = _mm256_srli_epi16(words, 4);
                add_products(ones[i], _mm256_and_si256(words, lower), broadcast_four_ymm(x));
                add_products(fours[i], _mm256_and_si256(words, upper), broadcast_four_ymm(x + 4));
                add_products(ones[i], _mm256_and_si256(high, lower), broadcast_four_ymm(x + 8));
                add_products(fours[i], _mm256_and_si256(high, upper), broadcast_four_ymm(x + 12));
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            sums[i] = add_pairs(sums[i], _mm256_add_epi16(ones[i], _mm256_srai_epi16(fours[i], 2)));
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) finish_int8_ymm(p, epilogue, token, row, i * kYmmRows, sums[i]);
}

// Each register of weights is decoded once for all tokens. The int32 sums lie in memory: they are needed once in 15
// steps.
template <int Tokens>
AVX2 void tile_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x, int32_t token,
                    int32_t row, int32_t at) {
    constexpr int Quarters = ymm_quarters(Tokens);
    const __m256i low = _mm256_set1_epi8(3);
    __m256i sums[Tokens][Quarters];
    for (int t = 0; t < Tokens; t++)
        for (int q = 0; q < Quarters; q++) sums[t][q] = _mm256_setzero_si256();
    for (int32_t step = p.k / kStepColumns; step > 0; step -= kStepsPerFold) {
        const int32_t steps = step < kStepsPerFold ? step : kStepsPerFold;
        __m256i shorts[Tokens][Quarters];
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
            for (int q = 0; q < Quarters; q++) shorts[t][q] = _mm256_setzero_si256();
        for (int32_t s = 0; s < steps; s++, w += kStepBytes) {
            __m256i words[Quarters];
#pragma GCC unroll 4
            for (int q = 0; q < Quarters; q++) words[q] = load_words(w + q * kYmmBytes);
#pragma GCC unroll 4
            for (int field = 0; field < 4; field++, x += Tokens * 4) {
                __m256i codes[Quarters];
#pragma GCC unroll 4
                for (int q = 0; q < Quarters; q++)
                    codes[q] = _mm256_and_si256(_mm256_srli_epi16(words[q], 2 * field), low);
#pragma GCC unroll 8
                for (int t = 0; t < Tokens; t++) {
                    const __m256i four = broadcast_four_ymm(x + t * 4);
#pragma GCC unroll 4
                    for (int q = 0; q < Quarters; q++) add_products(shorts[t][q], codes[q], four);
                }
            }
        }
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
            for (int q = 0; q < Quarters; q++) sums[t][q] = add_pairs(sums[t][q], shorts[t][q]);
    }
    for (int t = 0; t < Tokens; t++)
        for (int q = 0; q < Quarters; q++) finish_int8_ymm(p, epilogue, token + t, row, at + q * kYmmRows, sums[t][q]);
}

template <int Tokens>
AVX2 void tile_float32(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const float* x, int32_t token,
                       int32_t row, int32_t at) {
    constexpr int Quarters = ymm_quarters(Tokens);
    // The permutation looks at the lowest three bits of each lane; the one above the code is a neighbour's, so the
    // table repeats.
    const __m256 table = _mm256_setr_ps(-1, 0, 1, 0, -1, 0, 1, 0);
    __m256 sums[Tokens][Quarters];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
        for (int q = 0; q < Quarters; q++) sums[t][q] = _mm256_setzero_ps();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        __m256i words[Quarters];
#pragma GCC unroll 4
        for (int q = 0; q < Quarters; q++) words[q] = load_words(w + q * kYmmBytes);
#pragma GCC unroll 16
        for (int column = 0; column < kStepColumns; column++, x += Tokens) {
            const int shift = 8 * (column % 4) + 2 * (column / 4);
            __m256 trits[Quarters];
#pragma GCC unroll 4
            for (int q = 0; q < Quarters; q++)
                trits[q] = _mm256_permutevar8x32_ps(table, _mm256_srli_epi32(words[q], shift));
#pragma GCC unroll 8
            for (int t = 0; t < Tokens; t++) {
                const __m256 value = _mm256_broadcast_ss(x + t);
#pragma GCC unroll 4
                for (int q = 0; q < Quarters; q++) {
                    // The product is exact, so fusing it with the addition changes nothing.
                    sums[t][q] = _mm256_fmadd_ps(trits[q], value, sums[t][q]);
                    BITLAB_KEEP_IN_REGISTER(sums[t][q]);
                }
            }
        }
    }
    for (int t = 0; t < Tokens; t++) {
        for (int q = 0; q < Quarters; q++) {
            const int32_t first = at + q * kYmmRows;
            if (first >= epilogue.rows) break;
            const __m256 y = _mm256_add_ps(_mm256_mul_ps(sums[t][q], _mm256_load_ps(epilogue.scales + first)),
                                           _mm256_load_ps(epilogue.bias + first));
            store_ymm(p.output(token + t, row + first), y, epilogue.rows - first);
        }
    }
}

constexpr YmmTile<int8_t> kInt8Tiles[kTileTokens] = {one_token_int8, tile_int8<2>, tile_int8<3>, tile_int8<4>,
                                                     tile_int8<5>,   tile_int8<6>, tile_int8<7>, tile_int8<8>};
constexpr YmmTile<float> kFloat32Tiles[kTileTokens] = {tile_float32<1>, tile_float32<2>, tile_float32<3>,
                                                       tile_float32<4>, tile_float32<5>, tile_float32<6>,
                                                       tile_float32<7>, tile_float32<8>};

}  // namespace

void multiply_int8_avx2(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_ymm_tiles(p, kInt8Tiles, &Product::int8_tile, first_panel, end_panel);
}

void multiply_float32_avx2(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_ymm_tiles(p, kFloat32Tiles, &Product::float32_tile, first_panel, end_panel);
}

}  // namespace bitlab

#endif
