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
#define BITLAB_ABI_VERSION 2

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

#ifdef __cplusplus
}
#endif

#endif
