// The float arithmetic between the ternary products: what a file of one instruction set implements, to the last bit.
//
// Sums over a row go into sixteen lanes, element i into lane i mod 16, each addition fused with its product; the lanes
// are added by halves: lane i to lane i + 8, then to i + 4, i + 2, i + 1. Products by a float matrix do the same with
// sixty-four lanes. Sums over the elements of a key, and over
// positions, run from the first up, fused. floats_scalar.cpp is the definition.
#ifndef BITLAB_FLOATS_H
#define BITLAB_FLOATS_H

#include "kernel.h"

namespace bitlab {

constexpr int32_t kLanes = 16;
constexpr int32_t kDenseLanes = 64;

// Positions in a block of keys: for each element of a head in turn, those of the sixteen.
constexpr int32_t kKeyBlock = 16;

// Positions whose values stay in the first-level cache while all elements of a head are summed.
constexpr int32_t kValueBlock = 32;

enum ElementType : int32_t { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2 };

// The queries of some successive tokens that look at one head of keys and values.
struct Attention {
    int32_t tokens, first_position, group, head_dim, value_stride;
    ElementType type;
    float scale;
    const float* queries;
    int64_t query_stride;
    const uint8_t* keys;
    const uint8_t* values;
    float* scores;
    int32_t score_stride;
    float* output;
    int64_t output_stride;

    // Rows are ordered by token, then by head.
    int32_t rows() const { return tokens * group; }
    int32_t positions(int32_t row) const { return first_position + row / group + 1; }
    const float* query(int32_t row) const {
        return queries + row / group * query_stride + static_cast<int64_t>(row % group) * head_dim;
    }
    float* out(int32_t row) const {
        return output + row / group * output_stride + static_cast<int64_t>(row % group) * head_dim;
    }
    float* score(int32_t tile_row) const { return scores + static_cast<int64_t>(tile_row) * score_stride; }
};

// y[i, j] = sum over k of x[i, k] * w[j, k].
struct DenseProduct {
    int32_t m, k;
    ElementType type;
    const uint8_t* w;
    const float* x;
    float* y;
    int64_t output_stride;

    int64_t row_bytes() const { return static_cast<int64_t>(k) * (type == kFloat32 ? 4 : 2); }
};

// What an instruction set provides.
struct Floats {
    void (*normalize)(const float* x, const float* weight, float epsilon, int32_t columns, float* y);
    void (*rotate)(float* heads, int32_t count, int32_t head_dim, const float* cosines, const float* sines);
    void (*gate_squared_relu)(float* gate, const float* up, int32_t count);
    void (*gate_silu)(float* gate, const float* up, int32_t count);
    void (*attend)(const Attention& task);
    void (*multiply)(const DenseProduct& product, int32_t first_row, int32_t end_row);
};

extern const Floats kFloatsScalar;
extern const Floats kFloatsAvx2;
extern const Floats kFloatsAvx512;
extern const Floats kFloatsNeon;

}  // namespace bitlab

#endif
