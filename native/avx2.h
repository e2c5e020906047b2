// What the kernels of 256 bits share: half a block, 8 rows, in a register.
#ifndef BITLAB_AVX2_H
#define BITLAB_AVX2_H

#include "kernel.h"

#if defined(BITLAB_X64)
#include <immintrin.h>

#define AVX2 BITLAB_TARGET("avx2,fma")

namespace bitlab {

constexpr int32_t kYmmRows = 8;
constexpr int32_t kYmmBytes = 32;

// Weights, loaded once: without the barrier the compiler folds the load into each use.
AVX2 BITLAB_INLINE __m256i load_words(const uint8_t* w) {
    __m256i words = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
    BITLAB_KEEP_IN_REGISTER(words);
    return words;
}

AVX2 BITLAB_INLINE __m256i broadcast_four_ymm(const int8_t* x) {
    int32_t value;
    memcpy(&value, x, sizeof value);
    return _mm256_set1_epi32(value);
}

// Stores eight outputs of a token, or what of them the matrix has.
AVX2 BITLAB_INLINE void store_ymm(float* y, __m256 values, int32_t rows_left) {
    if (rows_left >= kYmmRows) {
        _mm256_storeu_ps(y, values);
        return;
    }
    alignas(32) float all[kYmmRows];
    _mm256_store_ps(all, values);
    for (int32_t i = 0; i < rows_left; i++) y[i] = all[i];
}

// The outputs of eight rows of a panel, from row `at` of it, for a token.
AVX2 BITLAB_INLINE void finish_int8_ymm(const Product& p, const PanelEpilogue& epilogue, int32_t token, int32_t row,
                                        int32_t at, __m256i sum) {
    if (at >= epilogue.rows) return;
    const __m256i token_sum = _mm256_set1_epi32(p.x_sums[token]);
    const __m256 scale = _mm256_mul_ps(_mm256_load_ps(epilogue.scales + at), _mm256_set1_ps(p.x_scales[token]));
    const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, token_sum)), scale);
    store_ymm(p.output(token, row + at), _mm256_add_ps(y, _mm256_load_ps(epilogue.bias + at)), epilogue.rows - at);
}

// Some of a panel's rows by some tokens: w points at the first row's words, `at` rows into the panel.
template <typename X>
using YmmTile = void (*)(const Product&, const uint8_t* w, const PanelEpilogue&, const X*, int32_t token, int32_t row,
                         int32_t at);

// How many registers of rows a tile of so many tokens takes at once: as many as 8 sums allow.
constexpr int32_t ymm_quarters(int32_t tokens) {
    return tokens <= 2 ? 4 : tokens <= 4 ? 2 : 1;
}

// All tokens by the panels first_panel to end_panel - 1.
template <typename X>
void multiply_ymm_tiles(const Product& p, const YmmTile<X> (&tiles)[kTileTokens],
                        const X* (Product::*tile_of)(int32_t) const, int32_t first_panel, int32_t end_panel) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t first = 0; first < p.m; first += kTileTokens) {
            const int32_t tokens = p.tile_tokens(first);
            const int32_t rows = ymm_quarters(tokens) * kYmmRows;
            for (int32_t at = 0; at < epilogue.rows; at += rows) {
                tiles[tokens - 1](p, p.panel(panel) + at * 4, epilogue, (p.*tile_of)(first), first, panel * kPanelRows,
                                  at);
            }
        }
    }
}

}  // namespace bitlab

#endif

#endif
