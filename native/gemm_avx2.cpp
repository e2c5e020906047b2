// AVX2: 16 registers of 256 bits, a block of 16 rows in two of them.
#include "kernel.h"

#if defined(BITLAB_X64)
#include <immintrin.h>

#define AVX2 BITLAB_TARGET("avx2,fma")

namespace bitlab {
namespace {

constexpr int32_t kRows = 8;  // rows in a register
constexpr int32_t kMaxTokens = 4;

AVX2 BITLAB_INLINE int32_t load_int32(const int8_t* p) {
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

// Stores eight outputs of a token, or what of them the matrix has.
AVX2 BITLAB_INLINE void store(float* y, __m256 values, int32_t rows_left) {
    if (rows_left >= kRows) {
        _mm256_storeu_ps(y, values);
        return;
    }
    alignas(32) float all[kRows];
    _mm256_store_ps(all, values);
    for (int32_t i = 0; i < rows_left; i++) y[i] = all[i];
}

// A block of 16 rows by `Tokens` tokens of a tile that has `stride` of them.
template <int Tokens>
AVX2 void block_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, int32_t block, const int8_t* x,
                     int32_t stride, int32_t token, int32_t row) {
    const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi8(3);
    __m256i sums[Tokens][2];
    for (int t = 0; t < Tokens; t++) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        __m256i words[2] = {_mm256_load_si256(reinterpret_cast<const __m256i*>(w)),
                            _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 32))};
        // A 16-bit lane takes four fields of two products of at most 2 * 128 each: 2048 at most, so nothing saturates.
        __m256i shorts[Tokens][2];
        for (int field = 0; field < 4; field++, x += stride * 4) {
            const __m256i codes[2] = {_mm256_and_si256(words[0], low), _mm256_and_si256(words[1], low)};
            for (int t = 0; t < Tokens; t++) {
                const __m256i four = _mm256_set1_epi32(load_int32(x + t * 4));
                for (int half = 0; half < 2; half++) {
                    const __m256i products = _mm256_maddubs_epi16(codes[half], four);
                    shorts[t][half] = field == 0 ? products : _mm256_add_epi16(shorts[t][half], products);
                }
            }
            words[0] = _mm256_srli_epi16(words[0], 2);
            words[1] = _mm256_srli_epi16(words[1], 2);
        }
        for (int t = 0; t < Tokens; t++) {
            for (int half = 0; half < 2; half++) {
                sums[t][half] = _mm256_add_epi32(sums[t][half], _mm256_madd_epi16(shorts[t][half], ones));
            }
        }
    }
    for (int t = 0; t < Tokens; t++) {
        const __m256i token_sum = _mm256_set1_epi32(p.x_sums[token + t]);
        const __m256 token_scale = _mm256_set1_ps(p.x_scales[token + t]);
        for (int half = 0; half < 2; half++) {
            const int32_t at = block * 16 + half * kRows;
            const __m256 scale = _mm256_mul_ps(_mm256_load_ps(epilogue.scales + at), token_scale);
            const __m256 sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums[t][half], token_sum));
            const __m256 y = _mm256_add_ps(_mm256_mul_ps(sum, scale), _mm256_load_ps(epilogue.bias + at));
            if (at < epilogue.rows) store(p.output(token + t, row + at), y, epilogue.rows - at);
        }
    }
}

template <int Tokens>
AVX2 void block_float32(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, int32_t block,
                        const float* x, int32_t stride, int32_t token, int32_t row) {
    // The permutation looks at the lowest three bits of each lane; the one above the code is a neighbour's, so the
    // table repeats.
    const __m256 table = _mm256_setr_ps(-1, 0, 1, 0, -1, 0, 1, 0);
    __m256 sums[Tokens][2];
    for (int t = 0; t < Tokens; t++) sums[t][0] = sums[t][1] = _mm256_setzero_ps();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        const __m256i words[2] = {_mm256_load_si256(reinterpret_cast<const __m256i*>(w)),
                                  _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 32))};
        for (int column = 0; column < kStepColumns; column++, x += stride) {
            const int shift = 8 * (column % 4) + 2 * (column / 4);
            const __m256 trits[2] = {_mm256_permutevar8x32_ps(table, _mm256_srli_epi32(words[0], shift)),
                                     _mm256_permutevar8x32_ps(table, _mm256_srli_epi32(words[1], shift))};
            for (int t = 0; t < Tokens; t++) {
                const __m256 value = _mm256_broadcast_ss(x + t);
                for (int half = 0; half < 2; half++) sums[t][half] = _mm256_fmadd_ps(trits[half], value, sums[t][half]);
            }
        }
    }
    for (int t = 0; t < Tokens; t++) {
        for (int half = 0; half < 2; half++) {
            const int32_t at = block * 16 + half * kRows;
            const __m256 y = _mm256_add_ps(_mm256_mul_ps(sums[t][half], _mm256_load_ps(epilogue.scales + at)),
                                           _mm256_load_ps(epilogue.bias + at));
            if (at < epilogue.rows) store(p.output(token + t, row + at), y, epilogue.rows - at);
        }
    }
}

}  // namespace

AVX2 void multiply_int8_avx2(const Product& p, int32_t first_panel, int32_t end_panel) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t first = 0; first < p.m; first += kTileTokens) {
            const int32_t stride = p.tile_tokens(first);
            for (int32_t block = 0; block < 2; block++) {
                const uint8_t* w = p.panel(panel) + block * kBlockBytes;
                int32_t t = 0;
                for (; t + kMaxTokens <= stride; t += kMaxTokens) {
                    block_int8<kMaxTokens>(p, w, epilogue, block, p.int8_tile(first) + t * 4, stride, first + t,
                                           panel * kPanelRows);
                }
                for (; t < stride; t++) {
                    block_int8<1>(p, w, epilogue, block, p.int8_tile(first) + t * 4, stride, first + t,
                                  panel * kPanelRows);
                }
            }
        }
    }
}

AVX2 void multiply_float32_avx2(const Product& p, int32_t first_panel, int32_t end_panel) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t first = 0; first < p.m; first += kTileTokens) {
            const int32_t stride = p.tile_tokens(first);
            for (int32_t block = 0; block < 2; block++) {
                const uint8_t* w = p.panel(panel) + block * kBlockBytes;
                int32_t t = 0;
                for (; t + kMaxTokens <= stride; t += kMaxTokens) {
                    block_float32<kMaxTokens>(p, w, epilogue, block, p.float32_tile(first) + t, stride, first + t,
                                              panel * kPanelRows);
                }
                for (; t < stride; t++) {
                    block_float32<1>(p, w, epilogue, block, p.float32_tile(first) + t, stride, first + t,
                                     panel * kPanelRows);
                }
            }
        }
    }
}

}  // namespace bitlab

#endif
