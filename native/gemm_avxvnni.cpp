// AVX-VNNI: vpdpbusd in 16 registers of 256 bits, on processors without AVX-512.
#include "avx2.h"

#if defined(BITLAB_HAS_AVXVNNI)

// A processor with AVX-512 VNNI runs the same instruction in its longer encoding: so can the tests on it.
#if defined(BITLAB_AVXVNNI_AS_AVX512)
#define AVXVNNI BITLAB_TARGET("avx2,fma,avx512f,avx512vl,avx512vnni")
#define BITLAB_DPBUSD _mm256_dpbusd_epi32
#else
#define AVXVNNI BITLAB_TARGET("avx2,fma,avxvnni")
#define BITLAB_DPBUSD _mm256_dpbusd_avx_epi32
#endif

namespace bitlab {
namespace {

AVXVNNI BITLAB_INLINE void add_products(__m256i& sum, __m256i codes, __m256i x) {
    sum = BITLAB_DPBUSD(sum, codes, x);
    BITLAB_KEEP_IN_REGISTER(sum);
}

// One token: the four fields of a byte are masked where they are and summed apart, worth 1, 4, 16 and 64. Two registers
// of rows at a time: eight sums, as many as it takes to keep the multipliers busy.
AVXVNNI void one_token_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x,
                            int32_t token, int32_t row, int32_t) {
    const __m256i masks[4] = {_mm256_set1_epi8(0x03), _mm256_set1_epi8(0x0C), _mm256_set1_epi8(0x30),
                              _mm256_set1_epi8(static_cast<char>(0xC0))};
    __m256i sums[4][2];
    const uint8_t* const panel = w;
    for (int half = 0; half < 2; half++) {
        w = panel + half * kBlockBytes;
#pragma GCC unroll 4
        for (int field = 0; field < 4; field++) sums[field][0] = sums[field][1] = _mm256_setzero_si256();
        for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
            const __m256i first = load_words(w), second = load_words(w + kYmmBytes);
#pragma GCC unroll 4
            for (int field = 0; field < 4; field++) {
                const __m256i four = broadcast_four_ymm(x + k + field * 4);
                add_products(sums[field][0], _mm256_and_si256(first, masks[field]), four);
                add_products(sums[field][1], _mm256_and_si256(second, masks[field]), four);
            }
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            // Every lane is a multiple of what its field is worth, so the shifts lose nothing.
            const __m256i all =
                _mm256_add_epi32(_mm256_add_epi32(sums[0][i], _mm256_srai_epi32(sums[1][i], 2)),
                                 _mm256_add_epi32(_mm256_srai_epi32(sums[2][i], 4), _mm256_srai_epi32(sums[3][i], 6)));
            finish_int8_ymm(p, epilogue, token, row, (2 * half + i) * kYmmRows, all);
        }
    }
}

// Each register of weights is decoded once for all tokens. Where that makes few sums, each field in turn has its own,
// so that an addition need not wait for the one before.
template <int Tokens>
AVXVNNI void tile_int8(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x,
                       int32_t token, int32_t row, int32_t at) {
    constexpr int Quarters = ymm_quarters(Tokens), Sets = Quarters == 1 && Tokens <= 6 ? 2 : 1;
    const __m256i low = _mm256_set1_epi8(3);
    __m256i sums[Sets][Tokens][Quarters];
#pragma GCC unroll 2
    for (int set = 0; set < Sets; set++)
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
            for (int q = 0; q < Quarters; q++) sums[set][t][q] = _mm256_setzero_si256();
    for (int32_t k = 0; k < p.k; k += kStepColumns, w += kStepBytes) {
        __m256i words[Quarters];
#pragma GCC unroll 4
        for (int q = 0; q < Quarters; q++) words[q] = load_words(w + q * kYmmBytes);
#pragma GCC unroll 4
        for (int field = 0; field < 4; field++, x += Tokens * 4) {
            __m256i codes[Quarters];
#pragma GCC unroll 4
            for (int q = 0; q < Quarters; q++) codes[q] = _mm256_and_si256(_mm256_srli_epi16(words[q], 2 * field), low);
#pragma GCC unroll 8
            for (int t = 0; t < Tokens; t++) {
                const __m256i four = broadcast_four_ymm(x + t * 4);
#pragma GCC unroll 4
                for (int q = 0; q < Quarters; q++) add_products(sums[field % Sets][t][q], codes[q], four);
            }
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) {
#pragma GCC unroll 4
        for (int q = 0; q < Quarters; q++) {
            const __m256i all = Sets == 1 ? sums[0][t][q] : _mm256_add_epi32(sums[0][t][q], sums[Sets - 1][t][q]);
            finish_int8_ymm(p, epilogue, token + t, row, at + q * kYmmRows, all);
        }
    }
}

constexpr YmmTile<int8_t> kInt8Tiles[kTileTokens] = {one_token_int8, tile_int8<2>, tile_int8<3>, tile_int8<4>,
                                                     tile_int8<5>,   tile_int8<6>, tile_int8<7>, tile_int8<8>};

}  // namespace

void multiply_int8_avxvnni(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_ymm_tiles(p, kInt8Tiles, &Product::int8_tile, first_panel, end_panel);
}

}  // namespace bitlab

#endif
