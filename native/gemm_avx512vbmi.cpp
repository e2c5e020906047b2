// The dense form, 1.6 bits a weight, with AVX-512 VNNI and VBMI: five trits a byte, of which one permutation of 128
// bytes turns four into the fields of the 2-bit form.
#include "avx512.h"

#if defined(BITLAB_X64)

#define VBMI BITLAB_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")

namespace bitlab {
namespace {

// 81 * kInverse81 = 1 modulo 2^32, so a sum that is 81 times an int32 is divided exactly, whatever overflowed on the
// way.
constexpr int32_t kInverse81 = static_cast<int32_t>(0x781948b1u);

// For the four trits below 81: their codes as four fields of a byte.
struct FieldTable {
    alignas(64) uint8_t fields[128];
    constexpr FieldTable() : fields() {
        for (int value = 0; value < 81; value++) {
            fields[value] = static_cast<uint8_t>(value % 3 | value / 3 % 3 << 2 | value / 9 % 3 << 4 | value / 27 << 6);
        }
    }
};
constexpr FieldTable kFieldTable;

// A block: four codes of each byte as fields, and 81 times the fifth.
struct DenseBlock {
    __m512i fields;
    __m512i fifth;
};

VBMI BITLAB_INLINE DenseBlock load_dense(const uint8_t* w, __m512i table0, __m512i table1) {
    const __m512i bytes = load_block(w);
    // Of byte, byte - 81 and byte - 162, those below zero wrap to the largest: what is left of the fifth is the least.
    const __m512i once = _mm512_sub_epi8(bytes, _mm512_set1_epi8(81));
    const __m512i twice = _mm512_sub_epi8(bytes, _mm512_set1_epi8(static_cast<char>(162)));
    const __m512i rest = _mm512_min_epu8(_mm512_min_epu8(bytes, once), twice);
    DenseBlock block = {_mm512_permutex2var_epi8(table0, rest, table1), _mm512_sub_epi8(bytes, rest)};
    BITLAB_KEEP_IN_REGISTER(block.fields);
    return block;
}

// One token or two: fields are masked where they are and summed apart, as in the 2-bit form, and so is the fifth.
template <int Tokens>
VBMI void few_tokens(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x, int32_t token,
                     int32_t row) {
    const __m512i masks[4] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0C), _mm512_set1_epi8(0x30),
                              _mm512_set1_epi8(static_cast<char>(0xC0))};
    const __m512i table0 = load_block(kFieldTable.fields), table1 = load_block(kFieldTable.fields + 64);
    __m512i sums[5][Tokens][2];
#pragma GCC unroll 5
    for (int field = 0; field < 5; field++)
#pragma GCC unroll 2
        for (int t = 0; t < Tokens; t++) sums[field][t][0] = sums[field][t][1] = _mm512_setzero_si512();
    for (int32_t k = 0; k < p.k; k += kDenseColumns, x += kDenseColumns * Tokens) {
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++, w += kStepBytes) {
            const DenseBlock first = load_dense(w, table0, table1),
                             second = load_dense(w + kBlockBytes, table0, table1);
#pragma GCC unroll 5
            for (int field = 0; field < 5; field++) {
                const __m512i codes0 = field == 4 ? first.fifth : _mm512_and_si512(first.fields, masks[field % 4]);
                const __m512i codes1 = field == 4 ? second.fifth : _mm512_and_si512(second.fields, masks[field % 4]);
                const int four_columns = field == 4 ? 16 + part : 4 * part + field;
#pragma GCC unroll 2
                for (int t = 0; t < Tokens; t++) {
                    const __m512i four = broadcast_four(x + (four_columns * Tokens + t) * 4);
                    add_products(sums[field][t][0], codes0, four);
                    add_products(sums[field][t][1], codes1, four);
                }
            }
        }
    }
    const __m512i inverse = _mm512_set1_epi32(kInverse81);
#pragma GCC unroll 2
    for (int t = 0; t < Tokens; t++) {
        const __m512i first = sum_fields(sums[0][t][0], sums[1][t][0], sums[2][t][0], sums[3][t][0]);
        const __m512i second = sum_fields(sums[0][t][1], sums[1][t][1], sums[2][t][1], sums[3][t][1]);
        finish_int8(p, epilogue, token + t, row, _mm512_add_epi32(first, _mm512_mullo_epi32(sums[4][t][0], inverse)),
                    _mm512_add_epi32(second, _mm512_mullo_epi32(sums[4][t][1], inverse)));
    }
}

// A whole tile: each block is decoded once, in registers, for all its tokens.
template <int Tokens>
VBMI void tile(const Product& p, const uint8_t* w, const PanelEpilogue& epilogue, const int8_t* x, int32_t token,
               int32_t row) {
    const __m512i low = _mm512_set1_epi8(3);
    const __m512i table0 = load_block(kFieldTable.fields), table1 = load_block(kFieldTable.fields + 64);
    __m512i sums[Tokens][2];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) sums[t][0] = sums[t][1] = _mm512_setzero_si512();
    for (int32_t k = 0; k < p.k; k += kDenseColumns, x += kDenseColumns * Tokens) {
        for (int part = 0; part < 4; part++, w += kStepBytes) {
            const DenseBlock first = load_dense(w, table0, table1),
                             second = load_dense(w + kBlockBytes, table0, table1);
#pragma GCC unroll 5
            for (int field = 0; field < 5; field++) {
                // 81 and 162, the fifth code's 1 and 2, have it in their upper two bits.
                const __m512i codes0 = _mm512_and_si512(
                    field == 4 ? _mm512_srli_epi32(first.fifth, 6) : _mm512_srli_epi32(first.fields, 2 * field), low);
                const __m512i codes1 = _mm512_and_si512(
                    field == 4 ? _mm512_srli_epi32(second.fifth, 6) : _mm512_srli_epi32(second.fields, 2 * field), low);
                const int four_columns = field == 4 ? 16 + part : 4 * part + field;
#pragma GCC unroll 8
                for (int t = 0; t < Tokens; t++) {
                    const __m512i four = broadcast_four(x + (four_columns * Tokens + t) * 4);
                    add_products(sums[t][0], codes0, four);
                    add_products(sums[t][1], codes1, four);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; t++) finish_int8(p, epilogue, token + t, row, sums[t][0], sums[t][1]);
}

constexpr ZmmTile<int8_t> kTiles[kTileTokens] = {few_tokens<1>, few_tokens<2>, tile<3>, tile<4>,
                                                 tile<5>,       tile<6>,       tile<7>, tile<8>};

}  // namespace

void multiply_int8_dense_avx512vbmi(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_zmm_tiles(p, kTiles, &Product::int8_tile, first_panel, end_panel);
}

}  // namespace bitlab

#endif
