// What a file of one instruction set may include, beside its intrinsics.
#ifndef BITLAB_KERNEL_H
#define BITLAB_KERNEL_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#define BITLAB_X64 1
// GCC 10 and Clang 11 do not know AVX-VNNI yet.
#if !defined(__GNUC__) || (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define BITLAB_HAS_AVXVNNI 1
#endif
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define BITLAB_ARM64 1
// Compilers older than these have the dot product and i8mm only where the whole build may use both.
#if defined(__clang__)
#define BITLAB_ARM64_TARGETS (__clang_major__ >= 16)
#elif defined(__GNUC__)
#define BITLAB_ARM64_TARGETS (__GNUC__ >= 10)
#else
#define BITLAB_ARM64_TARGETS (_MSC_VER >= 1939)
#endif
#if BITLAB_ARM64_TARGETS || (defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8))
#define BITLAB_ARM64_DOTPROD 1
#endif
#endif

// BITLAB_TARGET marks a function that uses an instruction set beyond the build's own. BITLAB_KEEP_IN_REGISTER keeps the
// compiler from loading a vector again at each of its uses.
#if defined(__GNUC__) || defined(__clang__)
#define BITLAB_TARGET(isa) __attribute__((target(isa)))
#define BITLAB_INLINE inline __attribute__((always_inline))
#if defined(BITLAB_X64)
#define BITLAB_KEEP_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define BITLAB_KEEP_IN_REGISTER(vector) __asm__("" : "+w"(vector))
#endif
#else
#define BITLAB_TARGET(isa)
#define BITLAB_INLINE __forceinline
#define BITLAB_KEEP_IN_REGISTER(vector)
#endif

namespace bitlab {

constexpr int32_t kPanelRows = 32;
constexpr int32_t kStepColumns = 16;
constexpr int32_t kBlockBytes = 64;  // 16 rows of one step
constexpr int32_t kStepBytes = 128;  // 32 rows of one step
constexpr int32_t kTileTokens = 8;
constexpr int32_t kMaxColumns = (1 << 19) + 79;  // 2^19 and what pads them
constexpr int32_t kDenseColumns = 80;            // of the dense form, whose 80 columns take four steps' bytes

// The arguments of bitlab_multiply_int8 and bitlab_multiply_float32; x is the one or the other.
struct Product {
    int32_t m, n, k;
    const int8_t* x_int8;
    const float* x_float32;
    const float* x_scales;
    const int32_t* x_sums;
    const uint8_t* w;
    const float* w_scales;
    int32_t w_scale_stride;
    const float* bias;
    float* y;
    bool is_dense;

    const uint8_t* panel(int32_t p) const {
        const int64_t steps = is_dense ? k / kDenseColumns * 4 : k / kStepColumns;
        return w + p * steps * kStepBytes;
    }
    float* output(int32_t token, int32_t row) const { return y + static_cast<int64_t>(token) * n + row; }
    int32_t tile_tokens(int32_t first) const { return m - first < kTileTokens ? m - first : kTileTokens; }
    const int8_t* int8_tile(int32_t first) const { return x_int8 + static_cast<int64_t>(first) * k; }
    const float* float32_tile(int32_t first) const { return x_float32 + static_cast<int64_t>(first) * k; }
};

// The scales and biases of a panel's 32 outputs. Outputs that the matrix lacks get zeros.
struct PanelEpilogue {
    alignas(64) float scales[kPanelRows];
    alignas(64) float bias[kPanelRows];
    int32_t rows;

    PanelEpilogue(const Product& p, int32_t first_row)
        : rows(p.n - first_row < kPanelRows ? p.n - first_row : kPanelRows) {
        fill(scales, p.w_scales + static_cast<int64_t>(first_row) * p.w_scale_stride, p.w_scale_stride);
        // Adding -0 changes no float, not even 0 or -0.
        const float no_bias = -0.0f;
        fill(bias, p.bias != nullptr ? p.bias + first_row : &no_bias, p.bias != nullptr ? 1 : 0);
    }

  private:
    // A whole panel, the common case, without a branch for each value: with few columns this is time that counts.
    void fill(float* target, const float* source, int32_t stride) const {
        if (rows == kPanelRows && stride == 1) {
            memcpy(target, source, kPanelRows * sizeof(float));
        } else if (rows == kPanelRows) {
            for (int32_t i = 0; i < kPanelRows; i++) target[i] = *source;
        } else {
            for (int32_t i = 0; i < kPanelRows; i++) target[i] = i < rows ? source[i * stride] : 0.0f;
        }
    }
};

using Multiply = void (*)(const Product& product, int32_t first_panel, int32_t end_panel);

void multiply_int8_scalar(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_dense_scalar(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_float32_scalar(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_avx2(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_float32_avx2(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_avxvnni(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_avx512vnni(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_dense_avx512vbmi(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_float32_avx512vnni(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_neon(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_neondot(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_int8_i8mm(const Product& product, int32_t first_panel, int32_t end_panel);
void multiply_float32_neon(const Product& product, int32_t first_panel, int32_t end_panel);  // for all three

}  // namespace bitlab

#endif
