// Tests of the float kernels: every kernel against the scalar one, to the last bit, in buffers that end at an unreadable
// page; the scalar one against float64.
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "check.h"

namespace {

std::mt19937 engine(7);

float number() {
    return std::uniform_real_distribution<float>(-2.0f, 2.0f)(engine);
}

void fill(Guarded<float>& values, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] = number();
}

// Elements of a type: floats, or 16 bits of random finite numbers.
void fill_elements(Guarded<uint8_t>& bytes, size_t count, int type) {
    for (size_t i = 0; i < count; i++) {
        const float value = number();
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        const uint16_t half = static_cast<uint16_t>(type == BITLAB_BFLOAT16 ? bits >> 16 : (bits >> 16 & 0x83FF) | 0x3400);
        if (type == BITLAB_FLOAT32)
            std::memcpy(&bytes[i * 4], &bits, sizeof bits);
        else
            std::memcpy(&bytes[i * 2], &half, sizeof half);
    }
}

size_t bytes_of(int type) {
    return type == BITLAB_FLOAT32 ? 4 : 2;
}

// Runs something that writes `count` floats with the scalar kernel and with every other.
void compare(const char* what, size_t count, const std::function<int32_t(int32_t kernel, float* y)>& run) {
    Guarded<float> expected(count), got(count);
    check(run(BITLAB_SCALAR, expected.data()) == BITLAB_OK, what, BITLAB_SCALAR, 0, 0, static_cast<int>(count));
    for (int32_t kernel = 1; kernel < BITLAB_KERNELS; kernel++) {
        if (bitlab_is_supported(kernel) != 1) continue;
        const bool ok = run(kernel, got.data()) == BITLAB_OK && same_bits(expected.data(), got.data(), count);
        check(ok, what, kernel, 0, 0, static_cast<int>(count));
    }
}

void rows() {
    for (int n : {1, 2, 15, 16, 17, 64, 100, 2560}) {
        const size_t count = static_cast<size_t>(n);
        Guarded<float> x(count), w(count);
        fill(x, count);
        fill(w, count);
        compare("normalize", count, [&](int32_t kernel, float* y) {
            return bitlab_normalize(kernel, x.data(), w.data(), 1e-5f, n, y);
        });
        for (int silu : {0, 1}) {
            compare("gate", count, [&](int32_t kernel, float* y) {
                for (size_t i = 0; i < count; i++) y[i] = x[i] * 30;
                return bitlab_gate(kernel, silu, y, w.data(), n);
            });
        }
    }
    for (int dim : {2, 22, 32, 64, 128}) {
        const size_t half = static_cast<size_t>(dim) / 2, count = 3 * static_cast<size_t>(dim);
        Guarded<float> x(count), cosines(half), sines(half);
        fill(x, count);
        fill(cosines, half);
        fill(sines, half);
        compare("rotate", count, [&](int32_t kernel, float* y) {
            std::memcpy(y, x.data(), count * sizeof(float));
            return bitlab_rotate(kernel, y, 3, dim, cosines.data(), sines.data());
        });
    }
}

void attention() {
    for (int round = 0; round < 60; round++) {
        const int tokens = 1 + static_cast<int>(engine() % 9), before = static_cast<int>(engine() % 70);
        const int group = 1 + static_cast<int>(engine() % 5), dim = 1 + static_cast<int>(engine() % 70);
        const int type = round % 2, stride = (dim + 15) / 16 * 16, positions = tokens + before;
        const int padded = (positions + 15) / 16 * 16;
        const size_t row = static_cast<size_t>(group) * dim, count = row * tokens;
        const size_t key_count = static_cast<size_t>(padded) * dim, value_count = static_cast<size_t>(positions) * stride;
        Guarded<float> queries(count), scores(static_cast<size_t>(BITLAB_ATTEND_ROWS) * padded);
        Guarded<uint8_t> keys(key_count * bytes_of(type)), values(value_count * bytes_of(type));
        fill(queries, count);
        fill_elements(keys, key_count, type);
        fill_elements(values, value_count, type);
        compare("attend", count, [&](int32_t kernel, float* y) {
            return bitlab_attend(kernel, tokens, before, group, dim, stride, type, 0.3f, queries.data(),
                                 static_cast<int64_t>(row), keys.data(), values.data(), scores.data(), padded, y,
                                 static_cast<int64_t>(row));
        });
    }
}

void dense() {
    for (int round = 0; round < 90; round++) {
        const int m = 1 + static_cast<int>(engine() % 9), n = 1 + static_cast<int>(engine() % 11);
        const int k = 1 + static_cast<int>(engine() % 200), type = round % 3;
        const size_t weights = static_cast<size_t>(n) * k, inputs = static_cast<size_t>(m) * k;
        Guarded<uint8_t> w(weights * bytes_of(type));
        Guarded<float> x(inputs);
        fill_elements(w, weights, type);
        fill(x, inputs);
        compare("multiply dense", static_cast<size_t>(m) * n, [&](int32_t kernel, float* y) {
            const int32_t first = bitlab_multiply_dense(kernel, m, k, type, w.data(), x.data(), y, n, 0, n / 3);
            return first + bitlab_multiply_dense(kernel, m, k, type, w.data(), x.data(), y, n, n / 3, n);
        });
    }
}

// Softmax of one query over three positions, and a norm, by hand.
void by_hand() {
    const float x[2] = {3, 4}, weight[2] = {1, 2};
    float y[2];
    bitlab_normalize(BITLAB_SCALAR, x, weight, 0.0f, 2, y);
    check(std::fabs(y[0] - 3 / std::sqrt(12.5)) < 1e-6 && std::fabs(y[1] - 8 / std::sqrt(12.5)) < 1e-6, "norm by hand", 0, 0,
          0, 2);

    float keys[16] = {1, 2, -1}, values[3 * 16] = {}, scores[16], output;
    const float query = 0.5f;
    values[0] = 10;
    values[16] = 20;
    values[32] = 40;
    bitlab_attend(BITLAB_SCALAR, 1, 2, 1, 1, 16, BITLAB_FLOAT32, 2.0f, &query, 1, reinterpret_cast<uint8_t*>(keys),
                  reinterpret_cast<uint8_t*>(values), scores, 16, &output, 1);
    const double a = std::exp(1.0), b = std::exp(2.0), c = std::exp(-1.0);
    check(std::fabs(output - (10 * a + 20 * b + 40 * c) / (a + b + c)) < 1e-4, "attention by hand", 0, 1, 1, 3);
}

void bad_arguments() {
    float x[32] = {}, y[32] = {};
    uint8_t w[64] = {};
    const int32_t none = BITLAB_UNSUPPORTED, bad = BITLAB_BAD_ARGUMENT;
    check(bitlab_normalize(-1, x, x, 1e-5f, 4, y) == none, "no kernel", -1, 0, 0, 0);
    check(bitlab_gate(BITLAB_KERNELS, 0, x, y, 4) == none, "no kernel", BITLAB_KERNELS, 0, 0, 0);
    check(bitlab_normalize(0, x, x, 1e-5f, 0, y) == bad, "columns", 0, 0, 0, 0);
    check(bitlab_rotate(0, x, 1, 3, y, y) == bad, "odd head", 0, 0, 0, 3);
    check(bitlab_multiply_dense(0, 1, 4, 3, w, x, y, 1, 0, 1) == bad, "type", 0, 1, 1, 4);
    check(bitlab_multiply_dense(0, 1, 0, 0, w, x, y, 1, 0, 1) == bad, "columns", 0, 1, 1, 0);
    check(bitlab_multiply_dense(0, 1, 4, 0, w, x, y, 1, 2, 1) == bad, "rows", 0, 1, 1, 4);
    check(bitlab_attend(0, 1, 0, 1, 4, 15, 0, 1, x, 4, w, w, y, 16, y, 4) == bad, "value stride", 0, 0, 0, 0);
    check(bitlab_attend(0, 1, 16, 1, 4, 16, 0, 1, x, 4, w, w, y, 16, y, 4) == bad, "score stride", 0, 0, 0, 0);
    check(bitlab_attend(0, 1, 0, 1, 4, 16, 2, 1, x, 4, w, w, y, 16, y, 4) == bad, "type of keys", 0, 0, 0, 0);
}

}  // namespace

void float_kernels() {
    by_hand();
    rows();
    attention();
    dense();
    bad_arguments();
}
