// Tests of the library through its own doors: many shapes against plain loops, extremes, guarded buffers, bad
// arguments. Every kernel that this machine can run is tested; those named on the command line have to be among them.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"

namespace {

int padded(int k, int multiple) {
    return (k + multiple - 1) / multiple * multiple;
}
int panels(int n) {
    return (n + 31) / 32;
}

// The layout as bitlab.h and docs/packed-layout.md tell it.
void pack(Guarded<uint8_t>& w, const std::vector<int>& trits, int n, int k) {
    const int kp = padded(k, 16);
    std::memset(w.data(), 0x55, static_cast<size_t>(panels(n)) * 8 * kp);
    for (int r = 0; r < n; r++) {
        for (int c = 0; c < k; c++) {
            const size_t at = static_cast<size_t>(r / 32) * 8 * kp + c / 16 * 128 + r % 32 * 4 + c % 4;
            const int shift = 2 * (c % 16 / 4);
            w[at] =
                static_cast<uint8_t>((w[at] & ~(3 << shift)) | ((trits[static_cast<size_t>(r) * k + c] + 1) << shift));
        }
    }
}

// The dense form: of each 80 columns, the first 64 are four steps as above with base-3 digits for fields, and the last
// 16 the fifth digits of those four. 121 is five zero trits.
void pack_dense(Guarded<uint8_t>& w, const std::vector<int>& trits, int n, int k) {
    const int powers[] = {1, 3, 9, 27, 81}, groups = padded(k, 80) / 80;
    std::memset(w.data(), 121, static_cast<size_t>(panels(n)) * groups * 512);
    for (int r = 0; r < n; r++) {
        for (int c = 0; c < k; c++) {
            const int column = c % 80, step = column < 64 ? column / 16 : (column - 64) / 4;
            const size_t at = (static_cast<size_t>(r / 32) * groups + c / 80) * 512 + step * 128 + r % 32 * 4 + c % 4;
            const int digit = column < 64 ? column % 16 / 4 : 4;
            w[at] = static_cast<uint8_t>(w[at] + trits[static_cast<size_t>(r) * k + c] * powers[digit]);
        }
    }
}

// Where column c of token i lies in tiles of 8 tokens, `together` columns of a token at a time.
size_t tile_at(int i, int c, int m, int kp, int together) {
    const int first = i / 8 * 8, tokens = m - first < 8 ? m - first : 8;
    return static_cast<size_t>(first) * kp + static_cast<size_t>(c / together) * tokens * together +
           (i - first) * together + c % together;
}

struct Shape {
    int m, n, k;
};

enum Form { kInt8, kFloat32, kInt8Dense };
const char* const kForms[] = {"int8", "float32", "int8, dense"};

bool runs(int kernel, Form form) {
    return form == kInt8Dense ? bitlab_reads_dense(kernel) == 1 : bitlab_is_supported(kernel) == 1;
}

// One product by every kernel. The float activations are of many magnitudes, so that the order of their sum shows.
void multiply(Shape shape, const std::vector<int>& trits, const std::vector<int>& x, bool has_bias, int stride,
              std::mt19937& random) {
    const auto [m, n, k] = shape;
    const int kp = padded(k, 16), kp_dense = padded(k, 80);
    const size_t outputs = static_cast<size_t>(m) * n;
    Guarded<uint8_t> w(static_cast<size_t>(panels(n)) * 8 * kp),
        w_dense(static_cast<size_t>(panels(n)) * kp_dense / 80 * 512);
    Guarded<int8_t> x_int8(static_cast<size_t>(m) * kp), x_dense(static_cast<size_t>(m) * kp_dense);
    Guarded<float> x_float(static_cast<size_t>(m) * kp), x_scales(m), w_scales(stride == 1 ? n : 1), bias(n),
        y(outputs), parts(outputs);
    Guarded<int32_t> sums(m);
    std::uniform_real_distribution<float> real(-2, 2);
    pack(w, trits, n, k);
    pack_dense(w_dense, trits, n, k);
    std::vector<float> floats(static_cast<size_t>(m) * k);
    for (float& value : floats) value = std::ldexp(real(random), static_cast<int>(random() % 24));
    for (int i = 0; i < m; i++) {
        x_scales[i] = real(random);
        sums[i] = 0;
        for (int c = 0; c < kp_dense; c++) {
            const size_t at = static_cast<size_t>(i) * k + c;
            const int value = c < k ? x[at] : 0;
            x_dense[tile_at(i, c, m, kp_dense, 4)] = static_cast<int8_t>(value);
            if (c >= kp) continue;
            x_int8[tile_at(i, c, m, kp, 4)] = static_cast<int8_t>(value);
            x_float[tile_at(i, c, m, kp, 1)] = c < k ? floats[at] : 0;
            sums[i] += value;
        }
    }
    for (int j = 0; j < n; j++) bias[j] = real(random);
    for (int j = 0; j < (stride == 1 ? n : 1); j++) w_scales[j] = real(random);
    float* b = has_bias ? bias.data() : nullptr;
    const int first = static_cast<int>(random() % panels(n)),
              end = first + 1 + static_cast<int>(random() % (panels(n) - first));

    for (Form form : {kInt8, kFloat32, kInt8Dense}) {
        std::vector<float> whole(outputs), range;
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                const int* row = &trits[static_cast<size_t>(j) * k];
                const float scale = w_scales[j * stride];
                float& out = whole[static_cast<size_t>(i) * n + j];
                if (form != kFloat32) {
                    int32_t sum = 0;
                    for (int c = 0; c < k; c++) sum += row[c] * x[static_cast<size_t>(i) * k + c];
                    out = static_cast<float>(sum) * (scale * x_scales[i]);
                } else {
                    float sum = 0;
                    for (int c = 0; c < k; c++) {
                        sum += static_cast<float>(row[c]) * floats[static_cast<size_t>(i) * k + c];
                    }
                    out = sum * scale;
                }
                if (has_bias) out += bias[j];
            }
        }
        range = whole;
        for (size_t i = 0; i < outputs; i++) {
            const int panel = static_cast<int>(i % n) / 32;
            if (panel < first || panel >= end) std::memset(&range[i], 0xFF, sizeof(float));
        }

        for (int kernel = 0; kernel < BITLAB_KERNELS; kernel++) {
            if (!runs(kernel, form)) continue;
            auto run = [&](float* out, int from, int to) {
                if (form == kInt8Dense) {
                    return bitlab_multiply_int8_dense(kernel, m, n, kp_dense, x_dense.data(), x_scales.data(),
                                                      sums.data(), w_dense.data(), w_scales.data(), stride, b, out,
                                                      from, to);
                }
                return form == kInt8
                           ? bitlab_multiply_int8(kernel, m, n, kp, x_int8.data(), x_scales.data(), sums.data(),
                                                  w.data(), w_scales.data(), stride, b, out, from, to)
                           : bitlab_multiply_float32(kernel, m, n, kp, x_float.data(), w.data(), w_scales.data(),
                                                     stride, b, out, from, to);
            };
            std::memset(y.data(), 0xFF, sizeof(float) * outputs);
            check(run(y.data(), 0, panels(n)) == BITLAB_OK, "status", kernel, m, n, k);
            check(same_bits(y.data(), whole.data(), outputs), kForms[form], kernel, m, n, k);

            // A range of panels writes its own outputs and no others; the ranges beside it complete the product.
            std::memset(parts.data(), 0xFF, sizeof(float) * outputs);
            run(parts.data(), first, end);
            check(same_bits(parts.data(), range.data(), outputs), "one range", kernel, m, n, k);
            run(parts.data(), end, panels(n));
            run(parts.data(), 0, first);
            check(same_bits(parts.data(), whole.data(), outputs), "all ranges", kernel, m, n, k);
        }
    }
}

// Random trits and activations; the product's number decides the rest.
void random_product(Shape shape, int number, std::mt19937& random) {
    std::vector<int> trits(static_cast<size_t>(shape.n) * shape.k), x(static_cast<size_t>(shape.m) * shape.k);
    for (int& trit : trits) trit = static_cast<int>(random() % 3) - 1;
    for (int& value : x) value = static_cast<int>(random() % 256) - 128;
    multiply(shape, trits, x, number % 2 == 0, number / 2 % 2, random);
}

// Every number of tokens in a tile and behind it, by every number of rows in a panel.
void every_tile() {
    std::mt19937 random(1);
    int number = 0;
    for (int m = 1; m <= 17; m++) {
        for (int n = 1; n <= 33; n++) random_product({m, n, 1 + static_cast<int>(random() % 50)}, number++, random);
    }
}

// Up to 70 tokens, 300 outputs, 1100 columns, the small ones more often.
void random_shapes() {
    std::mt19937 random(2);
    auto up_to = [&](int most) {
        const auto limit = 1 + random() % most;
        return 1 + static_cast<int>(random() % limit);
    };
    for (int round = 0; round < 80; round++) {
        const int m = up_to(70), n = up_to(300), k = up_to(1100);
        random_product({m, n, k}, round, random);
    }
}

// The largest sums there are, at the largest K, once for the panels of one token and once for tokens that fill no tile;
// and at K around the 512 and 1024 columns after which kernels empty narrower sums.
void extremes() {
    std::mt19937 random(3);
    const Shape shapes[] = {{1, 33, 1 << 19}, {6, 1, 1 << 19}, {8, 32, 496},  {8, 32, 512},
                            {8, 32, 528},     {8, 32, 1024},   {8, 32, 1040}, {1, 32, 1040}};
    for (const Shape& shape : shapes) {
        for (int value : {127, -128}) {
            const std::vector<int> x(static_cast<size_t>(shape.m) * shape.k, value);
            multiply(shape, std::vector<int>(static_cast<size_t>(shape.n) * shape.k, 1), x, false, 0, random);
        }
    }
}

// What both doors answer to a product of one token and two panels, but for what a test changes.
struct Call {
    int kernel = BITLAB_SCALAR, m = 1, n = 64, k = 16, stride = 0, first = 0, end = 2;
    bool has_x = true;
    int misaligned = 0;

    void answers(int32_t status, const char* what) const {
        alignas(64) static uint8_t w[512];
        static const int8_t x_int8[32] = {};
        static const float x_float[32] = {}, scales[128] = {};
        static const int32_t sums[1] = {};
        float y[64] = {};
        check(bitlab_multiply_int8(kernel, m, n, k, has_x ? x_int8 : nullptr, scales, sums, w + misaligned, scales,
                                   stride, nullptr, y, first, end) == status,
              what, kernel, m, n, k);
        check(bitlab_multiply_float32(kernel, m, n, k, has_x ? x_float : nullptr, w + misaligned, scales, stride,
                                      nullptr, y, first, end) == status,
              what, kernel, m, n, k);
    }
};

// Answers `status` where a good call has one member set to another value.
template <typename T>
void with(T Call::*member, T value, int32_t status, const char* what) {
    Call call;
    call.*member = value;
    call.answers(status, what);
}

void arguments() {
    Call().answers(BITLAB_OK, "good arguments");
    with(&Call::m, 0, BITLAB_OK, "no tokens");
    with(&Call::end, 0, BITLAB_OK, "no panels");
    for (int kernel = -1; kernel <= BITLAB_KERNELS; kernel++) {
        with(&Call::kernel, kernel, bitlab_is_supported(kernel) ? BITLAB_OK : BITLAB_UNSUPPORTED, "kernel");
    }
    check(bitlab_is_supported(BITLAB_SCALAR) == 1, "scalar runs everywhere", BITLAB_SCALAR, 0, 0, 0);
    check(bitlab_reads_dense(BITLAB_SCALAR) == 1, "scalar reads all", BITLAB_SCALAR, 0, 0, 0);
    check(bitlab_reads_dense(-1) == 0, "no kernel", -1, 0, 0, 0);
    check(bitlab_reads_dense(BITLAB_KERNELS) == 0, "no kernel", BITLAB_KERNELS, 0, 0, 0);
    check(bitlab_is_supported(-1) == 0, "no kernel", -1, 0, 0, 0);
    check(bitlab_is_supported(BITLAB_KERNELS) == 0, "no kernel", BITLAB_KERNELS, 0, 0, 0);

    const int32_t bad = BITLAB_BAD_ARGUMENT;
    with(&Call::has_x, false, bad, "null x");
    with(&Call::misaligned, 32, bad, "misaligned w");
    with(&Call::m, -1, bad, "m");
    with(&Call::n, 0, bad, "n");
    for (int k : {-16, 0, 8, 15, 17, (1 << 19) + 80}) with(&Call::k, k, bad, "k");
    for (int k : {0, 16, 79, 96}) {
        alignas(64) static const uint8_t w[1024] = {};
        static const int8_t x[96] = {};
        static const float scales[1] = {};
        static const int32_t sums[1] = {};
        float y[64];
        check(
            bitlab_multiply_int8_dense(BITLAB_SCALAR, 1, 64, k, x, scales, sums, w, scales, 0, nullptr, y, 0, 2) == bad,
            "k of the dense form", BITLAB_SCALAR, 1, 64, k);
    }
    for (int stride : {-1, 2}) with(&Call::stride, stride, bad, "stride");
    for (int first : {-1, 3}) with(&Call::first, first, bad, "first panel");
    for (int end : {-1, 3}) with(&Call::end, end, bad, "end panel");
}

}  // namespace

int main(int count, char** required) {
    check(bitlab_abi_version() == BITLAB_ABI_VERSION, "ABI version", 0, 0, 0, 0);
    std::printf("kernels:");
    for (int kernel = 0; kernel < BITLAB_KERNELS; kernel++) {
        if (bitlab_is_supported(kernel) == 1) std::printf(" %s", kNames[kernel]);
    }
    std::printf("\n");
    for (int i = 1; i < count; i++) {
        bool runs = false;
        for (int kernel = 0; kernel < BITLAB_KERNELS; kernel++) {
            runs |= std::strcmp(kNames[kernel], required[i]) == 0 && bitlab_is_supported(kernel) == 1;
        }
        check(runs, required[i], -1, 0, 0, 0);
    }
    every_tile();
    random_shapes();
    extremes();
    arguments();
    float_kernels();
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
