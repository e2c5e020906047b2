// The definition of the float kernels, written to be read.
#include <math.h>

#include "floats.h"

namespace bitlab {
namespace {

float bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float load(ElementType type, const uint8_t* numbers, int64_t index) {
    if (type == kFloat32) {
        float value;
        memcpy(&value, numbers + index * 4, sizeof value);
        return value;
    }
    uint16_t half;
    memcpy(&half, numbers + index * 2, sizeof half);
    if (type == kBFloat16) return bits_to_float(static_cast<uint32_t>(half) << 16);
    // The exponent is 112 too low, also that of subnormal halves, which are normal floats. Infinity and NaN become large
    // numbers: checkpoints and caches hold neither.
    const float magnitude = bits_to_float((half & 0x7FFFu) << 13) * 5.192296858534828e33f;
    return bits_to_float(float_to_bits(magnitude) | (half & 0x8000u) << 16);
}

template <int32_t Lanes>
float sum_lanes(float (&lanes)[Lanes]) {
    for (int32_t half = Lanes / 2; half > 0; half /= 2)
        for (int32_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

// exp(x) to 2 units in the last place, x held between -87 and 88: x = n ln 2 + r with n whole, and exp(r) a polynomial
// of degree 7. The coefficients are those of Cephes' expf.
float exponential(float x) {
    x = x > -87.0f ? x : -87.0f;
    x = x < 88.0f ? x : 88.0f;
    const float n = nearbyintf(x * 1.44269504088896341f);
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p, r * r, r) + 1.0f;
    return p * bits_to_float(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}

// exp(score - largest score), and 1 / their sum.
float softmax(float* scores, int32_t positions) {
    float largest = scores[0];
    for (int32_t i = 1; i < positions; i++) largest = scores[i] > largest ? scores[i] : largest;
    float lanes[kLanes] = {};
    for (int32_t i = 0; i < positions; i++) {
        scores[i] = exponential(scores[i] - largest);
        lanes[i % kLanes] += scores[i];
    }
    return 1.0f / sum_lanes(lanes);
}

void normalize(const float* x, const float* weight, float epsilon, int32_t columns, float* y) {
    float lanes[kLanes] = {};
    for (int32_t i = 0; i < columns; i++) lanes[i % kLanes] = fmaf(x[i], x[i], lanes[i % kLanes]);
    const float scale = 1.0f / sqrtf(sum_lanes(lanes) / static_cast<float>(columns) + epsilon);
    for (int32_t i = 0; i < columns; i++) y[i] = x[i] * scale * weight[i];
}

void rotate(float* heads, int32_t count, int32_t head_dim, const float* cosines, const float* sines) {
    const int32_t half = head_dim / 2;
    for (int32_t head = 0; head < count; head++, heads += head_dim) {
        for (int32_t i = 0; i < half; i++) {
            const float x = heads[i], y = heads[half + i];
            heads[i] = x * cosines[i] - y * sines[i];
            heads[half + i] = y * cosines[i] + x * sines[i];
        }
    }
}

void gate_squared_relu(float* gate, const float* up, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const float relu = gate[i] > 0 ? gate[i] : 0.0f;
        gate[i] = relu * relu * up[i];
    }
}

void gate_silu(float* gate, const float* up, int32_t count) {
    for (int32_t i = 0; i < count; i++) gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

void attend(const Attention& task) {
    for (int32_t row = 0; row < task.rows(); row++) {
        const float* query = task.query(row);
        const int32_t positions = task.positions(row);
        for (int32_t j = 0; j < positions; j++) {
            const int64_t key = static_cast<int64_t>(j / kKeyBlock) * kKeyBlock * task.head_dim + j % kKeyBlock;
            float sum = 0;
            for (int32_t d = 0; d < task.head_dim; d++)
                sum = fmaf(query[d], load(task.type, task.keys, key + static_cast<int64_t>(d) * kKeyBlock), sum);
            task.scores[j] = sum * task.scale;
        }
        const float inverse = softmax(task.scores, positions);
        for (int32_t d = 0; d < task.head_dim; d++) {
            float sum = 0;
            for (int32_t j = 0; j < positions; j++) {
                const int64_t value = static_cast<int64_t>(j) * task.value_stride + d;
                sum = fmaf(task.scores[j], load(task.type, task.values, value), sum);
            }
            task.out(row)[d] = sum * inverse;
        }
    }
}

void multiply(const DenseProduct& product, int32_t first_row, int32_t end_row) {
    for (int32_t row = first_row; row < end_row; row++) {
        const uint8_t* w = product.w + row * product.row_bytes();
        for (int32_t token = 0; token < product.m; token++) {
            const float* x = product.x + static_cast<int64_t>(token) * product.k;
            float lanes[kDenseLanes] = {};
            for (int32_t i = 0; i < product.k; i++)
                lanes[i % kDenseLanes] = fmaf(x[i], load(product.type, w, i), lanes[i % kDenseLanes]);
            product.y[token * product.output_stride + row] = sum_lanes(lanes);
        }
    }
}

}  // namespace

const Floats kFloatsScalar = {normalize, rotate, gate_squared_relu, gate_silu, attend, multiply};

}  // namespace bitlab
