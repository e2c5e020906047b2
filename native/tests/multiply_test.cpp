// Tests of the library through its own doors: random shapes against plain loops, extremes, guarded buffers, bad
// arguments.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "bitlab.h"

namespace {

int passed = 0, failed = 0;

void check(bool ok, const char* what, int kernel, int m, int n, int k) {
    ok ? passed++ : failed++;
    if (!ok) std::printf("FAILED %s: kernel %d, m %d, n %d, k %d\n", what, kernel, m, n, k);
}

// Memory that ends at an unreadable page, so that one byte too far ends the program. Its start is 64-byte aligned where
// the size is a multiple of 64.
template <typename T>
class Guarded {
  public:
    explicit Guarded(size_t count) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = count * sizeof(T);
        const size_t usable = (bytes + page - 1) / page * page;
        size_ = usable + page;
        memory_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(memory_ + usable, page, PROT_NONE);
        data_ = reinterpret_cast<T*>(memory_ + usable - bytes);
    }
    ~Guarded() { munmap(memory_, size_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    T& operator[](size_t i) { return data_[i]; }
    T* data() { return data_; }

  private:
    char* memory_;
    size_t size_;
    T* data_;
};

int padded(int k) {
    return (k + 15) / 16 * 16;
}
int panels(int n) {
    return (n + 31) / 32;
}

// The layout as bitlab.h and docs/packed-layout.md tell it.
void pack(Guarded<uint8_t>& w, const std::vector<int>& trits, int n, int k) {
    const int kp = padded(k);
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

// Where column c of token i lies in tiles of 8 tokens, `together` columns of a token at a time.
size_t tile_at(int i, int c, int m, int kp, int together) {
    const int first = i / 8 * 8, tokens = m - first < 8 ? m - first : 8;
    return static_cast<size_t>(first) * kp + static_cast<size_t>(c / together) * tokens * together +
           (i - first) * together + c % together;
}

void multiply(int kernel, int m, int n, int k, const std::vector<int>& trits, const std::vector<int>& x, bool has_bias,
              int stride, std::mt19937& random) {
    const int kp = padded(k);
    Guarded<uint8_t> w(static_cast<size_t>(panels(n)) * 8 * kp);
    Guarded<int8_t> x_int8(static_cast<size_t>(m) * kp);
    Guarded<float> x_float(static_cast<size_t>(m) * kp), x_scales(m), w_scales(stride == 1 ? n : 1), bias(n),
        y(static_cast<size_t>(m) * n), parts(static_cast<size_t>(m) * n);
    Guarded<int32_t> sums(m);
    std::uniform_real_distribution<float> real(-2, 2);
    pack(w, trits, n, k);
    for (int i = 0; i < m; i++) {
        x_scales[i] = real(random);
        sums[i] = 0;
        for (int c = 0; c < kp; c++) {
            const int value = c < k ? x[static_cast<size_t>(i) * k + c] : 0;
            x_int8[tile_at(i, c, m, kp, 4)] = static_cast<int8_t>(value);
            x_float[tile_at(i, c, m, kp, 1)] = static_cast<float>(value) * 0.37f;
            sums[i] += value;
        }
    }
    for (int j = 0; j < n; j++) bias[j] = real(random);
    for (int j = 0; j < (stride == 1 ? n : 1); j++) w_scales[j] = real(random);
    float* b = has_bias ? bias.data() : nullptr;

    for (bool is_int8 : {true, false}) {
        auto run = [&](float* out, int first, int end) {
            return is_int8 ? bitlab_multiply_int8(kernel, m, n, kp, x_int8.data(), x_scales.data(), sums.data(),
                                                  w.data(), w_scales.data(), stride, b, out, first, end)
                           : bitlab_multiply_float32(kernel, m, n, kp, x_float.data(), w.data(), w_scales.data(),
                                                     stride, b, out, first, end);
        };
        check(run(y.data(), 0, panels(n)) == BITLAB_OK, "status", kernel, m, n, k);
        bool equal = true;
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                int32_t sum = 0;
                float float_sum = 0;
                for (int c = 0; c < k; c++) {
                    const int trit = trits[static_cast<size_t>(j) * k + c], value = x[static_cast<size_t>(i) * k + c];
                    sum += trit * value;
                    float_sum += static_cast<float>(trit) * (static_cast<float>(value) * 0.37f);
                }
                const float scale = w_scales[j * stride];
                float expected = is_int8 ? static_cast<float>(sum) * (scale * x_scales[i]) : float_sum * scale;
                if (has_bias) expected += bias[j];
                equal &= expected == y[static_cast<size_t>(i) * n + j];
            }
        }
        check(equal, is_int8 ? "int8" : "float32", kernel, m, n, k);
        for (size_t i = 0; i < static_cast<size_t>(m) * n; i++) parts[i] = -77;
        for (int p = panels(n) - 1; p > 0; p--) run(parts.data(), p, p + 1);
        bool untouched = true;
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n && j < 32; j++) untouched &= parts[static_cast<size_t>(i) * n + j] == -77;
        }
        run(parts.data(), 0, 1);
        check(untouched && std::memcmp(parts.data(), y.data(), sizeof(float) * m * n) == 0, "panels", kernel, m, n, k);
    }
}

void random_shapes(int kernel) {
    std::mt19937 random(1);
    for (int round = 0; round < 60; round++) {
        const int m = 1 + static_cast<int>(random() % 20), n = 1 + static_cast<int>(random() % 100),
                  k = 1 + static_cast<int>(random() % 300);
        std::vector<int> trits(static_cast<size_t>(n) * k), x(static_cast<size_t>(m) * k);
        for (int& trit : trits) trit = static_cast<int>(random() % 3) - 1;
        for (int& value : x) value = static_cast<int>(random() % 256) - 128;
        multiply(kernel, m, n, k, trits, x, round % 2 == 0, round / 2 % 2, random);
    }
}

// The largest K there is, with the largest sums.
void extremes(int kernel) {
    std::mt19937 random(2);
    const int k = 1 << 19;
    const std::vector<int> ones(k, 1);
    for (int value : {127, -127}) multiply(kernel, 1, 1, k, ones, std::vector<int>(k, value), false, 0, random);
}

void bad_arguments() {
    alignas(64) static uint8_t w[256];
    int8_t x[32] = {};
    int32_t sum = 0;
    float scale = 1, y[64] = {};
    auto run = [&](int kernel, int n, int k, const int8_t* values, const uint8_t* weights, int stride, int first,
                   int end) {
        return bitlab_multiply_int8(kernel, 1, n, k, values, &scale, &sum, weights, &scale, stride, nullptr, y, first,
                                    end);
    };
    check(run(0, 32, 16, x, w, 0, 0, 1) == BITLAB_OK, "good arguments", 0, 1, 32, 16);
    check(run(-1, 32, 16, x, w, 0, 0, 1) == BITLAB_UNSUPPORTED, "kernel -1", -1, 1, 32, 16);
    check(run(BITLAB_KERNELS, 32, 16, x, w, 0, 0, 1) == BITLAB_UNSUPPORTED, "kernel too high", 0, 1, 32, 16);
    check(run(0, 32, 15, x, w, 0, 0, 1) == BITLAB_BAD_ARGUMENT, "k", 0, 1, 32, 15);
    check(run(0, 32, (1 << 19) + 16, x, w, 0, 0, 1) == BITLAB_BAD_ARGUMENT, "k too large", 0, 1, 32, 0);
    check(run(0, 32, 16, nullptr, w, 0, 0, 1) == BITLAB_BAD_ARGUMENT, "null x", 0, 1, 32, 16);
    check(run(0, 32, 16, x, w + 4, 0, 0, 1) == BITLAB_BAD_ARGUMENT, "alignment", 0, 1, 32, 16);
    check(run(0, 32, 16, x, w, 2, 0, 1) == BITLAB_BAD_ARGUMENT, "stride", 0, 1, 32, 16);
    check(run(0, 32, 16, x, w, 0, 0, 2) == BITLAB_BAD_ARGUMENT, "end panel", 0, 1, 32, 16);
    check(run(0, 32, 16, x, w, 0, -1, 1) == BITLAB_BAD_ARGUMENT, "first panel", 0, 1, 32, 16);
}

}  // namespace

int main() {
    check(bitlab_abi_version() == BITLAB_ABI_VERSION, "ABI version", 0, 0, 0, 0);
    for (int kernel = 0; kernel < BITLAB_KERNELS; kernel++) {
        if (bitlab_is_supported(kernel) == 0) continue;
        random_shapes(kernel);
        extremes(kernel);
    }
    bad_arguments();
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
