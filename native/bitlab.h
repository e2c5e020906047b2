// The native kernels of BitLab: the whole border between C# and C++. Scalars and pointers only; nothing is allocated,
// kept, thrown or printed, and every function may be called from any thread.
#ifndef BITLAB_H
#define BITLAB_H

#include <stdint.h>

#if defined(_WIN32)
#if defined(BITLAB_BUILDING)
#define BITLAB_API __declspec(dllexport)
#else
#define BITLAB_API __declspec(dllimport)
#endif
#else
#define BITLAB_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Raised when a signature, a status, a kernel's number or the packed layout changes.
#define BITLAB_ABI_VERSION 3

// Statuses.
#define BITLAB_OK 0
#define BITLAB_UNSUPPORTED 1  // no such kernel, or this machine cannot run it
#define BITLAB_BAD_ARGUMENT 2

// Kernels.
#define BITLAB_SCALAR 0
#define BITLAB_AVX2 1
#define BITLAB_AVXVNNI 2
#define BITLAB_AVX512VNNI 3
#define BITLAB_NEON 4
#define BITLAB_NEONDOT 5
#define BITLAB_I8MM 6
#define BITLAB_KERNELS 7

BITLAB_API int32_t bitlab_abi_version(void);

// 1 if this machine can run the kernel, else 0.
BITLAB_API int32_t bitlab_is_supported(int32_t kernel);

// y[i, j] = (float)(sum over k of x[i, k] * w[j, k]) * (w_scales[j * w_scale_stride] * x_scales[i]) + bias[j]
// for j in the panels first_panel to end_panel - 1 of 32 outputs each.
//   m, n, k    tokens, outputs, columns; k is a multiple of 16 and at most 2^19
//   x          int8 tiles of 8 tokens (the last tile: what is left), four columns of each token in turn
//   x_scales   (m)
//   x_sums     (m): the sum of each token's values
//   w          packed trits, 64-byte aligned: panels of 32 rows, steps of 16 columns (docs/packed-layout.md)
//   w_scales   (1) with w_scale_stride 0, or (n) with stride 1
//   bias       (n) or null
//   y          (m, n), row by row
BITLAB_API int32_t bitlab_multiply_int8(int32_t kernel, int32_t m, int32_t n, int32_t k, const int8_t* x,
                                        const float* x_scales, const int32_t* x_sums, const uint8_t* w,
                                        const float* w_scales, int32_t w_scale_stride, const float* bias, float* y,
                                        int32_t first_panel, int32_t end_panel);

// 1 if this machine can run the kernel on the dense form, else 0.
BITLAB_API int32_t bitlab_reads_dense(int32_t kernel);

// bitlab_multiply_int8 with weights in the dense form, five trits a byte; k is a multiple of 80 and at most 2^19 + 79.
BITLAB_API int32_t bitlab_multiply_int8_dense(int32_t kernel, int32_t m, int32_t n, int32_t k, const int8_t* x,
                                              const float* x_scales, const int32_t* x_sums, const uint8_t* w,
                                              const float* w_scales, int32_t w_scale_stride, const float* bias,
                                              float* y, int32_t first_panel, int32_t end_panel);

// y[i, j] = (sum over k of x[i, k] * w[j, k]) * w_scales[j * w_scale_stride] + bias[j], summed in float from k = 0 up.
//   x          float tiles of 8 tokens (the last tile: what is left), one column of each token in turn
//   others     as above
BITLAB_API int32_t bitlab_multiply_float32(int32_t kernel, int32_t m, int32_t n, int32_t k, const float* x,
                                           const uint8_t* w, const float* w_scales, int32_t w_scale_stride,
                                           const float* bias, float* y, int32_t first_panel, int32_t end_panel);

// The float arithmetic of a transformer between its ternary products. Kernels with the same instruction set for floats
// give the same results; so do all others: floats_scalar.cpp is the definition.

// Element types of float matrices, keys and values.
#define BITLAB_FLOAT32 0
#define BITLAB_FLOAT16 1
#define BITLAB_BFLOAT16 2

// Query rows that bitlab_attend needs room for.
#define BITLAB_ATTEND_ROWS 8

// y = x * (1 / sqrt(mean of x^2 + epsilon)) * weight; y may be x.
BITLAB_API int32_t bitlab_normalize(int32_t kernel, const float* x, const float* weight, float epsilon, int32_t columns,
                                    float* y);

// Rotary embedding of `count` heads, in place: lower' = lower * cos - upper * sin, upper' = upper * cos + lower * sin
// over the halves of each head.
BITLAB_API int32_t bitlab_rotate(int32_t kernel, float* heads, int32_t count, int32_t head_dim, const float* cosines,
                                 const float* sines);

// gate = max(gate, 0)^2 * up, or with is_silu gate / (1 + exp(-gate)) * up.
BITLAB_API int32_t bitlab_gate(int32_t kernel, int32_t is_silu, float* gate, const float* up, int32_t count);

// Causal attention of the queries of some successive tokens to one head of keys and values.
//   tokens, first_position   the first token sees the positions 0 to first_position, the next one more, ...
//   group, head_dim          query heads of each token; elements of a head
//   type                     BITLAB_FLOAT32 or BITLAB_FLOAT16: what keys and values are
//   queries, output          (tokens, group, head_dim), tokens query_stride and output_stride floats apart
//   keys                     blocks of 16 positions: for each element in turn, those of the sixteen
//   values                   value_stride elements a position, a multiple of 16
//   scores                   room for BITLAB_ATTEND_ROWS rows of score_stride floats, a multiple of 16
BITLAB_API int32_t bitlab_attend(int32_t kernel, int32_t tokens, int32_t first_position, int32_t group,
                                 int32_t head_dim, int32_t value_stride, int32_t type, float scale,
                                 const float* queries, int64_t query_stride, const uint8_t* keys,
                                 const uint8_t* values, float* scores, int32_t score_stride, float* output,
                                 int64_t output_stride);

// y[i * output_stride + j] = sum over k of x[i, k] * w[j, k] for the rows j from first_row to end_row - 1 of a float
// matrix of m tokens, k columns.
BITLAB_API int32_t bitlab_multiply_dense(int32_t kernel, int32_t m, int32_t k, int32_t type, const uint8_t* w,
                                         const float* x, float* y, int64_t output_stride, int32_t first_row,
                                         int32_t end_row);

#ifdef __cplusplus
}
#endif

#endif
