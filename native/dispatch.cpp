// The table of kernels, and the doors of the library.
#include "bitlab.h"
#include "cpu.h"
#include "floats.h"
#include "kernel.h"

namespace bitlab {
namespace {

bool always() {
    return true;
}

struct Row {
    bool (*supported)();
    Multiply int8;
    Multiply float32;
    bool (*dense_supported)();
    Multiply int8_dense;
    const Floats* floats;
};

// By the numbers in bitlab.h; empty where this build has no such kernel.
constexpr Row kRows[BITLAB_KERNELS] = {
    {always, multiply_int8_scalar, multiply_float32_scalar, always, multiply_int8_dense_scalar,
     &kFloatsScalar},
#if defined(BITLAB_X64)
    {has_avx2, multiply_int8_avx2, multiply_float32_avx2, nullptr, nullptr, &kFloatsAvx2},
#if defined(BITLAB_HAS_AVXVNNI)
    {has_avxvnni, multiply_int8_avxvnni, multiply_float32_avx2, nullptr, nullptr, &kFloatsAvx2},
#else
    {},
#endif
    {has_avx512vnni, multiply_int8_avx512vnni, multiply_float32_avx512vnni, has_avx512vbmi,
     multiply_int8_dense_avx512vbmi, &kFloatsAvx512},
#else
    {},
    {},
    {},
#endif
#if defined(BITLAB_ARM64)
    {has_neon, multiply_int8_neon, multiply_float32_neon, nullptr, nullptr, &kFloatsNeon},
#else
    {},
#endif
#if defined(BITLAB_ARM64_DOTPROD)
    {has_neon_dotprod, multiply_int8_neondot, multiply_float32_neon, nullptr, nullptr, &kFloatsNeon},
    {has_neon_i8mm, multiply_int8_i8mm, multiply_float32_neon, nullptr, nullptr, &kFloatsNeon},
#else
    {},
    {},
#endif
};

bool is_supported(int32_t kernel) {
    return kernel >= 0 && kernel < BITLAB_KERNELS && kRows[kernel].int8 != nullptr && kRows[kernel].supported();
}

bool reads_dense(int32_t kernel) {
    return is_supported(kernel) && kRows[kernel].int8_dense != nullptr && kRows[kernel].dense_supported();
}

int32_t run(int32_t kernel, const Product& p, int32_t first_panel, int32_t end_panel) {
    if (p.is_dense ? !reads_dense(kernel) : !is_supported(kernel)) return BITLAB_UNSUPPORTED;
    const int64_t panels = (static_cast<int64_t>(p.n) + kPanelRows - 1) / kPanelRows;
    const int32_t columns = p.is_dense ? kDenseColumns : kStepColumns;
    if (p.m < 0 || p.n < 1 || p.k < columns || p.k % columns != 0 || p.k > kMaxColumns || first_panel < 0 ||
        first_panel > end_panel || end_panel > panels || (p.w_scale_stride != 0 && p.w_scale_stride != 1) ||
        (reinterpret_cast<uintptr_t>(p.w) & 63) != 0) {
        return BITLAB_BAD_ARGUMENT;
    }
    const Row& row = kRows[kernel];
    const Multiply multiply = p.is_dense ? row.int8_dense : p.x_int8 != nullptr ? row.int8 : row.float32;
    multiply(p, first_panel, end_panel);
    return BITLAB_OK;
}

const Floats* floats(int32_t kernel) {
    return is_supported(kernel) ? kRows[kernel].floats : nullptr;
}

}  // namespace
}  // namespace bitlab

extern "C" {

int32_t bitlab_abi_version(void) {
    return BITLAB_ABI_VERSION;
}

int32_t bitlab_is_supported(int32_t kernel) {
    return bitlab::is_supported(kernel) ? 1 : 0;
}

int32_t bitlab_multiply_int8(int32_t kernel, int32_t m, int32_t n, int32_t k, const int8_t* x, const float* x_scales,
                             const int32_t* x_sums, const uint8_t* w, const float* w_scales, int32_t w_scale_stride,
                             const float* bias, float* y, int32_t first_panel, int32_t end_panel) {
    if (x == nullptr) return BITLAB_BAD_ARGUMENT;
    const bitlab::Product product = {m,    n, k,    x, nullptr, x_scales, x_sums, w, w_scales, w_scale_stride,
                                     bias, y, false};
    return bitlab::run(kernel, product, first_panel, end_panel);
}

int32_t bitlab_reads_dense(int32_t kernel) {
    return bitlab::reads_dense(kernel) ? 1 : 0;
}

int32_t bitlab_multiply_int8_dense(int32_t kernel, int32_t m, int32_t n, int32_t k, const int8_t* x,
                                   const float* x_scales, const int32_t* x_sums, const uint8_t* w,
                                   const float* w_scales, int32_t w_scale_stride, const float* bias, float* y,
                                   int32_t first_panel, int32_t end_panel) {
    if (x == nullptr) return BITLAB_BAD_ARGUMENT;
    const bitlab::Product product = {m, n, k, x, nullptr, x_scales, x_sums, w, w_scales, w_scale_stride, bias, y, true};
    return bitlab::run(kernel, product, first_panel, end_panel);
}

int32_t bitlab_multiply_float32(int32_t kernel, int32_t m, int32_t n, int32_t k, const float* x, const uint8_t* w,
                                const float* w_scales, int32_t w_scale_stride, const float* bias, float* y,
                                int32_t first_panel, int32_t end_panel) {
    if (x == nullptr) return BITLAB_BAD_ARGUMENT;
    const bitlab::Product product = {m,    n, k,    nullptr, x, nullptr, nullptr, w, w_scales, w_scale_stride,
                                     bias, y, false};
    return bitlab::run(kernel, product, first_panel, end_panel);
}

int32_t bitlab_normalize(int32_t kernel, const float* x, const float* weight, float epsilon, int32_t columns,
                         float* y) {
    const bitlab::Floats* floats = bitlab::floats(kernel);
    if (floats == nullptr) return BITLAB_UNSUPPORTED;
    if (columns < 1) return BITLAB_BAD_ARGUMENT;
    floats->normalize(x, weight, epsilon, columns, y);
    return BITLAB_OK;
}

int32_t bitlab_rotate(int32_t kernel, float* heads, int32_t count, int32_t head_dim, const float* cosines,
                      const float* sines) {
    const bitlab::Floats* floats = bitlab::floats(kernel);
    if (floats == nullptr) return BITLAB_UNSUPPORTED;
    if (count < 0 || head_dim < 2 || head_dim % 2 != 0) return BITLAB_BAD_ARGUMENT;
    floats->rotate(heads, count, head_dim, cosines, sines);
    return BITLAB_OK;
}

int32_t bitlab_gate(int32_t kernel, int32_t is_silu, float* gate, const float* up, int32_t count) {
    const bitlab::Floats* floats = bitlab::floats(kernel);
    if (floats == nullptr) return BITLAB_UNSUPPORTED;
    (is_silu != 0 ? floats->gate_silu : floats->gate_squared_relu)(gate, up, count);
    return BITLAB_OK;
}

int32_t bitlab_attend(int32_t kernel, int32_t tokens, int32_t first_position, int32_t group, int32_t head_dim,
                      int32_t value_stride, int32_t type, float scale, const float* queries, int64_t query_stride,
                      const uint8_t* keys, const uint8_t* values, float* scores, int32_t score_stride, float* output,
                      int64_t output_stride) {
    const bitlab::Floats* floats = bitlab::floats(kernel);
    if (floats == nullptr) return BITLAB_UNSUPPORTED;
    if (tokens < 1 || first_position < 0 || group < 1 || head_dim < 1 || value_stride % bitlab::kLanes != 0 ||
        value_stride < head_dim || (type != BITLAB_FLOAT32 && type != BITLAB_FLOAT16) ||
        score_stride % bitlab::kLanes != 0 || score_stride < first_position + tokens) {
        return BITLAB_BAD_ARGUMENT;
    }
    floats->attend({tokens, first_position, group, head_dim, value_stride, static_cast<bitlab::ElementType>(type), scale,
                    queries, query_stride, keys, values, scores, score_stride, output, output_stride});
    return BITLAB_OK;
}

int32_t bitlab_multiply_dense(int32_t kernel, int32_t m, int32_t k, int32_t type, const uint8_t* w, const float* x,
                              float* y, int64_t output_stride, int32_t first_row, int32_t end_row) {
    const bitlab::Floats* floats = bitlab::floats(kernel);
    if (floats == nullptr) return BITLAB_UNSUPPORTED;
    if (m < 0 || k < 1 || type < BITLAB_FLOAT32 || type > BITLAB_BFLOAT16 || first_row < 0 || first_row > end_row)
        return BITLAB_BAD_ARGUMENT;
    floats->multiply({m, k, static_cast<bitlab::ElementType>(type), w, x, y, output_stride}, first_row, end_row);
    return BITLAB_OK;
}

}  // extern "C"
