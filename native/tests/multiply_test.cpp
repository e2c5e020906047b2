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

// Equal to the last bit: 0 is not -0.
bool same_bits(const float* a, const float* b, size_t count) {
    return std::memcmp(a, b, count * sizeof(float)) == 0;
}

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
        std::memset(y.data(), 0xFF, sizeof(float) * m * n);
        check(run(y.data(), 0, panels(n)) == BITLAB_OK, "status", kernel, m, n, k);
        std::vector<float> expected(static_cast<size_t>(m) * n);
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
                float& out = expected[static_cast<size_t>(i) * n + j];
                out = is_int8 ? static_cast<float>(sum) * (scale * x_scales[i]) : float_sum * scale;
                if (has_bias) out += bias[j];
            }
        }
        check(same_bits(y.data(), expected.data(), expected.size()), is_int8 ? "int8" : "float32", kernel, m, n, k);

        // A range of panels writes its own outputs and no others; the ranges beside it complete the product.
        const int first = static_cast<int>(random() % panels(n)),
                  end = first + 1 + static_cast<int>(random() % (panels(n) - first));
        std::memset(parts.data(), 0xFF, sizeof(float) * m * n);
        run(parts.data(), first, end);
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                if (j / 32 < first || j / 32 >= end) std::memset(&expected[static_cast<size_t>(i) * n + j], 0xFF, 4);
            }
        }
        check(same_bits(parts.data(), expected.data(), expected.size()), "one range", kernel, m, n, k);
        run(parts.data(), end, panels(n));
        run(parts.data(), 0, first);
        check(same_bits(parts.data(), y.data(), expected.size()), "all ranges", kernel, m, n, k);
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

// The largest K there is, with the largest sums: once the panels of one token, once tokens that fill no tile.
void extremes(int kernel) {
    std::mt19937 random(2);
    const int k = 1 << 19;
    const struct { int m, n; } shapes[] = {{1, 33}, {6, 1}};
    for (auto [m, n] : shapes) {
        const std::vector<int> ones(static_cast<size_t>(n) * k, 1);
        for (int value : {127, -127, -128}) {
            multiply(kernel, m, n, k, ones, std::vector<int>(static_cast<size_t>(m) * k, value), false, 0, random);
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
    check(bitlab_is_supported(-1) == 0, "no kernel", -1, 0, 0, 0);
    check(bitlab_is_supported(BITLAB_KERNELS) == 0, "no kernel", BITLAB_KERNELS, 0, 0, 0);

    const int32_t bad = BITLAB_BAD_ARGUMENT;
    with(&Call::has_x, false, bad, "null x");
    with(&Call::misaligned, 32, bad, "misaligned w");
    with(&Call::m, -1, bad, "m");
    with(&Call::n, 0, bad, "n");
    for (int k : {-16, 0, 8, 15, 17, (1 << 19) + 16}) with(&Call::k, k, bad, "k");
    for (int stride : {-1, 2}) with(&Call::stride, stride, bad, "stride");
    for (int first : {-1, 3}) with(&Call::first, first, bad, "first panel");
    for (int end : {-1, 3}) with(&Call::end, end, bad, "end panel");
}

}  // namespace

int main() {
    check(bitlab_abi_version() == BITLAB_ABI_VERSION, "ABI version", 0, 0, 0, 0);
    for (int kernel = 0; kernel < BITLAB_KERNELS; kernel++) {
        if (bitlab_is_supported(kernel) == 0) continue;
        random_shapes(kernel);
        extremes(kernel);
    }
    arguments();
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
