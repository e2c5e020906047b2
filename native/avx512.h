// What the kernels of 512 bits share: a block of 16 rows in a register.
#ifndef BITLAB_AVX512_H
#define BITLAB_AVX512_H

#include "kernel.h"

#if defined(BITLAB_X64)
#include <immintrin.h>

#define VNNI BITLAB_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

namespace bitlab {

// A block, loaded once. Without the barrier GCC folds the load into each use, and four loads of 512 bits where one
// would do were a third of the time of a single token: the load port takes one a cycle, as the multiplier does.
VNNI BITLAB_INLINE __m512i load_block(const uint8_t* w) {
    __m512i block = _mm512_load_si512(w);
    BITLAB_KEEP_IN_REGISTER(block);
    return block;
}

VNNI BITLAB_INLINE __m512i broadcast_four(const int8_t* x) {
    int32_t value;
    memcpy(&value, x, sizeof value);
    return _mm512_set1_epi32(value);
}

// Four products a lane, added to its sum. The barrier keeps the sum where it is: GCC 12 copies it away and back.
VNNI BITLAB_INLINE void add_products(__m512i& sum, __m512i codes, __m512i x) {
    sum = _mm512_dpbusd_epi32(sum, codes, x);
    BITLAB_KEEP_IN_REGISTER(sum);
}

// Stores 16 outputs of a token, or what of them the matrix has.
VNNI BITLAB_INLINE void store(float* y, __m512 values, int32_t rows_left) {
    const __mmask16 mask =
        rows_left >= 16 ? 0xFFFF : static_cast<__mmask16>((1 << (rows_left < 0 ? 0 : rows_left)) - 1);
    _mm512_mask_storeu_ps(y, mask, values);
}

VNNI BITLAB_INLINE void finish_int8(const Product& p, const PanelEpilogue& epilogue, int32_t token, int32_t row,
                                    __m512i sum0, __m512i sum1) {
    const __m512i token_sum = _mm512_set1_epi32(p.x_sums[token]);
    const __m512 token_scale = _mm512_set1_ps(p.x_scales[token]);
    const __m512 scale0 = _mm512_mul_ps(_mm512_load_ps(epilogue.scales), token_scale);
    const __m512 scale1 = _mm512_mul_ps(_mm512_load_ps(epilogue.scales + 16), token_scale);
    const __m512 y0 = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum0, token_sum)), scale0);
    const __m512 y1 = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum1, token_sum)), scale1);
    float* y = p.output(token, row);
    store(y, _mm512_add_ps(y0, _mm512_load_ps(epilogue.bias)), epilogue.rows);
    store(y + 16, _mm512_add_ps(y1, _mm512_load_ps(epilogue.bias + 16)), epilogue.rows - 16);
}

// The sum of the four fields of a byte that were masked in place, worth 1, 4, 16 and 64. Every lane is a multiple of
// what its field is worth, so the shifts lose nothing.
VNNI BITLAB_INLINE __m512i sum_fields(__m512i ones, __m512i fours, __m512i sixteens, __m512i sixty_fours) {
    return _mm512_add_epi32(_mm512_add_epi32(ones, _mm512_srai_epi32(fours, 2)),
                            _mm512_add_epi32(_mm512_srai_epi32(sixteens, 4), _mm512_srai_epi32(sixty_fours, 6)));
}

// Some tokens of a panel.
template <typename X>
using ZmmTile = void (*)(const Product&, const uint8_t* w, const PanelEpilogue&, const X*, int32_t token, int32_t row);

// All tokens by the panels first_panel to end_panel - 1.
template <typename X>
void multiply_zmm_tiles(const Product& p, const ZmmTile<X> (&tiles)[kTileTokens],
                        const X* (Product::*tile_of)(int32_t) const, int32_t first_panel, int32_t end_panel) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t first = 0; first < p.m; first += kTileTokens) {
            tiles[p.tile_tokens(first) - 1](p, p.panel(panel), epilogue, (p.*tile_of)(first), first,
                                            panel * kPanelRows);
        }
    }
}

}  // namespace bitlab

#endif

#endif
