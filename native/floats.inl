// The float kernels over registers of sixteen lanes, written once for all instruction sets. Who includes this is inside
// a namespace of its own and has defined
//   FLOATS                  what marks a function of the instruction set
//   Sixteen                 sixteen floats, and on them: zero, set1, load, store, load_bfloat16, load_float16, add,
//                           subtract, multiply, divide, fma, largest, smallest, negate, round_even, power_of_two,
//                           zero_where_infinite, sum_lanes, largest_lane
//   kAttendRows             query rows computed together; their sums are to fit in the registers
//   kDenseRows              2 or 4: its square of sums stays in registers beside what they are computed from
//   prefetch                asks for a line of the second-level cache

FLOATS BITLAB_INLINE Sixteen load_first(const float* source, int32_t count) {
    alignas(64) float lanes[kLanes] = {};
    memcpy(lanes, source, static_cast<size_t>(count) * sizeof(float));
    return load(lanes);
}

FLOATS BITLAB_INLINE void store_first(float* target, Sixteen value, int32_t count) {
    alignas(64) float lanes[kLanes];
    store(lanes, value);
    memcpy(target, lanes, static_cast<size_t>(count) * sizeof(float));
}

template <ElementType Type>
FLOATS BITLAB_INLINE Sixteen load_elements(const uint8_t* numbers, int64_t index) {
    if (Type == kFloat32) return load(reinterpret_cast<const float*>(numbers) + index);
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(numbers) + index;
    return Type == kBFloat16 ? load_bfloat16(halves) : load_float16(halves);
}

FLOATS BITLAB_INLINE Sixteen exponential(Sixteen x) {
    x = smallest(largest(x, set1(-87.0f)), set1(88.0f));
    const Sixteen n = round_even(multiply(x, set1(1.44269504088896341f)));
    Sixteen r = fma(n, set1(-0.693359375f), x);
    r = fma(n, set1(2.12194440e-4f), r);
    Sixteen p = set1(1.9875691500e-4f);
    p = fma(p, r, set1(1.3981999507e-3f));
    p = fma(p, r, set1(8.3334519073e-3f));
    p = fma(p, r, set1(4.1665795894e-2f));
    p = fma(p, r, set1(1.6666665459e-1f));
    p = fma(p, r, set1(5.0000001201e-1f));
    p = add(fma(p, multiply(r, r), r), set1(1.0f));
    return multiply(p, power_of_two(n));
}

FLOATS void normalize(const float* x, const float* weight, float epsilon, int32_t columns, float* y) {
    const int32_t whole = columns - columns % kLanes;
    Sixteen squares = zero();
    for (int32_t i = 0; i < whole; i += kLanes) {
        const Sixteen value = load(x + i);
        squares = fma(value, value, squares);
    }
    if (whole < columns) {
        const Sixteen value = load_first(x + whole, columns - whole);
        squares = fma(value, value, squares);
    }
    const float scale = 1.0f / square_root(sum_lanes(squares) / static_cast<float>(columns) + epsilon);
    for (int32_t i = 0; i < whole; i += kLanes)
        store(y + i, multiply(multiply(load(x + i), set1(scale)), load(weight + i)));
    for (int32_t i = whole; i < columns; i++) y[i] = x[i] * scale * weight[i];
}

FLOATS void rotate(float* heads, int32_t count, int32_t head_dim, const float* cosines, const float* sines) {
    const int32_t half = head_dim / 2, whole = half - half % kLanes;
    for (; count > 0; count--, heads += head_dim) {
        for (int32_t i = 0; i < whole; i += kLanes) {
            const Sixteen x = load(heads + i), y = load(heads + half + i), cos = load(cosines + i), sin = load(sines + i);
            store(heads + i, subtract(multiply(x, cos), multiply(y, sin)));
            store(heads + half + i, add(multiply(y, cos), multiply(x, sin)));
        }
        for (int32_t i = whole; i < half; i++) {
            const float x = heads[i], y = heads[half + i];
            heads[i] = x * cosines[i] - y * sines[i];
            heads[half + i] = y * cosines[i] + x * sines[i];
        }
    }
}

FLOATS BITLAB_INLINE Sixteen squared_relu(Sixteen gate, Sixteen up) {
    const Sixteen relu = largest(gate, zero());
    return multiply(multiply(relu, relu), up);
}

FLOATS BITLAB_INLINE Sixteen silu(Sixteen gate, Sixteen up) {
    return multiply(divide(gate, add(set1(1.0f), exponential(negate(gate)))), up);
}

template <bool Silu>
FLOATS BITLAB_INLINE void gate_by(float* gate, const float* up, int32_t count) {
    int32_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Sixteen g = load(gate + i), u = load(up + i);
        store(gate + i, Silu ? silu(g, u) : squared_relu(g, u));
    }
    if (i < count) {
        const Sixteen g = load_first(gate + i, count - i), u = load_first(up + i, count - i);
        store_first(gate + i, Silu ? silu(g, u) : squared_relu(g, u), count - i);
    }
}

FLOATS void gate_squared_relu(float* gate, const float* up, int32_t count) {
    gate_by<false>(gate, up, count);
}

FLOATS void gate_silu(float* gate, const float* up, int32_t count) {
    gate_by<true>(gate, up, count);
}

// exp(score - largest) for the first `seen` scores, zeros up to `computed`; returns 1 / their sum.
FLOATS float softmax(float* scores, int32_t seen, int32_t computed) {
    const int32_t padded = (seen + kLanes - 1) / kLanes * kLanes;
    const float infinity = __builtin_huge_valf();
    for (int32_t i = seen; i < padded; i++) scores[i] = -infinity;
    Sixteen most = set1(-infinity);
    for (int32_t i = 0; i < padded; i += kLanes) most = largest(most, load(scores + i));
    const Sixteen top = set1(largest_lane(most));
    Sixteen sum = zero();
    for (int32_t i = 0; i < padded; i += kLanes) {
        const Sixteen score = load(scores + i);
        const Sixteen weight = zero_where_infinite(exponential(subtract(score, top)), score);
        sum = add(sum, weight);
        store(scores + i, weight);
    }
    for (int32_t i = padded; i < computed; i++) scores[i] = 0.0f;
    return 1.0f / sum_lanes(sum);
}

// The part of some rows' outputs that comes from the values of the positions `begin` to `end` - 1: `Vectors` registers of
// elements from `element` on, the last of which has `last_count`.
template <ElementType Type, int Rows, int Vectors>
FLOATS BITLAB_INLINE void add_values(const Attention& t, int32_t row, int32_t begin, int32_t end, int32_t element,
                                     int32_t last_count) {
    Sixteen sums[Rows][Vectors];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; v++) {
            const float* partial = t.out(row + r) + element + v * kLanes;
            sums[r][v] = begin == 0 ? zero()
                         : v < Vectors - 1 || last_count == kLanes ? load(partial)
                                                                  : load_first(partial, last_count);
        }
    for (int32_t position = begin; position < end; position++) {
        Sixteen values[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; v++)
            values[v] = load_elements<Type>(
                t.values, static_cast<int64_t>(position) * t.value_stride + element + v * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++) {
            const Sixteen weight = set1(t.score(r)[position]);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; v++) sums[r][v] = fma(weight, values[v], sums[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; v++) {
            float* partial = t.out(row + r) + element + v * kLanes;
            if (v < Vectors - 1 || last_count == kLanes)
                store(partial, sums[r][v]);
            else
                store_first(partial, sums[r][v], last_count);
        }
}

template <ElementType Type, int Rows>
FLOATS void attend_rows(const Attention& t, int32_t row) {
    const int32_t positions = t.positions(row + Rows - 1);
    const float* queries[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++) queries[r] = t.query(row + r);
    for (int32_t first = 0; first < positions; first += kKeyBlock) {
        Sixteen sums[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++) sums[r] = zero();
        int64_t at = static_cast<int64_t>(first) * t.head_dim;
        for (int32_t d = 0; d < t.head_dim; d++, at += kKeyBlock) {
            const Sixteen keys = load_elements<Type>(t.keys, at);
#pragma GCC unroll 8
            for (int r = 0; r < Rows; r++) sums[r] = fma(set1(queries[r][d]), keys, sums[r]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++) store(t.score(r) + first, multiply(sums[r], set1(t.scale)));
    }
    float inverses[Rows];
    for (int r = 0; r < Rows; r++) inverses[r] = softmax(t.score(r), t.positions(row + r), positions);
    constexpr int kVectors = kAttendRows / 2 * 4 / Rows >= 4 ? 4 : kAttendRows / 2 * 4 / Rows >= 2 ? 2 : 1;
    for (int32_t begin = 0; begin < positions; begin += kValueBlock) {
        const int32_t end = begin + kValueBlock < positions ? begin + kValueBlock : positions;
        int32_t element = 0;
        for (; element + kVectors * kLanes <= t.head_dim; element += kVectors * kLanes)
            add_values<Type, Rows, kVectors>(t, row, begin, end, element, kLanes);
        for (; element < t.head_dim; element += kLanes) {
            const int32_t left = t.head_dim - element;
            add_values<Type, Rows, 1>(t, row, begin, end, element, left < kLanes ? left : kLanes);
        }
    }
    for (int r = 0; r < Rows; r++) {
        float* output = t.out(row + r);
        for (int32_t d = 0; d < t.head_dim; d++) output[d] *= inverses[r];
    }
}

template <ElementType Type>
FLOATS void attend_type(const Attention& t) {
    int32_t row = 0;
    for (; row + kAttendRows <= t.rows(); row += kAttendRows) attend_rows<Type, kAttendRows>(t, row);
    for (; row + 4 <= t.rows(); row += 4) attend_rows<Type, 4>(t, row);
    for (; row < t.rows(); row++) attend_rows<Type, 1>(t, row);
}

FLOATS void attend(const Attention& task) {
    if (task.type == kFloat32)
        attend_type<kFloat32>(task);
    else
        attend_type<kFloat16>(task);
}

// `Rows` rows of a float matrix by `Tokens` tokens. Of the four registers of a sum's lanes, `Parts` are computed in one
// pass over the columns, so that all sums of a pass stay in registers.
//
// One row by one token takes one pass and reads one stream, which the processor's own prefetcher follows best: 60 GB/s
// where four rows side by side got 34. For several tokens rows share what is loaded of the tokens; then the rows two
// tiles ahead are asked for, in their order, into the second-level cache, and 45 GB/s come of 23.
template <ElementType Type, int Rows, int Tokens, int Parts>
FLOATS BITLAB_INLINE void multiply_tile(const DenseProduct& p, int32_t row, int32_t token) {
    constexpr int32_t kBytes = Type == kFloat32 ? 4 : 2;
    constexpr int32_t kStep = Rows * kLanes * Parts * kBytes;
    const uint8_t* w = p.w + row * p.row_bytes();
    const uint8_t* ahead = w + 2 * Rows * p.row_bytes();
    const float* x = p.x + static_cast<int64_t>(token) * p.k;
    const int32_t whole = p.k - p.k % kDenseLanes;
    Sixteen totals[Rows][Tokens][4];
    for (int first = 0; first < 4; first += Parts) {
        Sixteen sums[Rows][Tokens][Parts];
#pragma GCC unroll 4
        for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
                for (int part = 0; part < Parts; part++) sums[r][t][part] = zero();
        for (int32_t i = first * kLanes; i < first * kLanes + whole; i += kDenseLanes) {
            if (Rows > 1 && token == 0) {
#pragma GCC unroll 4
                for (int32_t line = 0; line < kStep; line += 64) prefetch(ahead + line);
                ahead += kStep;
            }
#pragma GCC unroll 4
            for (int part = 0; part < Parts; part++) {
                Sixteen values[Tokens];
#pragma GCC unroll 4
                for (int t = 0; t < Tokens; t++) values[t] = load(x + static_cast<int64_t>(t) * p.k + i + part * kLanes);
#pragma GCC unroll 4
                for (int r = 0; r < Rows; r++) {
                    const Sixteen weights = load_elements<Type>(w + r * p.row_bytes(), i + part * kLanes);
#pragma GCC unroll 4
                    for (int t = 0; t < Tokens; t++) sums[r][t][part] = fma(values[t], weights, sums[r][t][part]);
                }
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; t++)
#pragma GCC unroll 4
                for (int part = 0; part < Parts; part++) totals[r][t][first + part] = sums[r][t][part];
    }
    // The columns behind the last whole sixty-four.
    for (int32_t i = whole; i < p.k; i += kLanes) {
        const int32_t count = p.k - i < kLanes ? p.k - i : kLanes;
        for (int r = 0; r < Rows; r++) {
            alignas(64) uint8_t rest[kLanes * 4] = {};
            memcpy(rest, w + r * p.row_bytes() + static_cast<int64_t>(i) * kBytes, static_cast<size_t>(count * kBytes));
            for (int t = 0; t < Tokens; t++) {
                Sixteen& total = totals[r][t][(i - whole) / kLanes];
                const Sixteen value = load_first(x + static_cast<int64_t>(t) * p.k + i, count);
                total = fma(value, load_elements<Type>(rest, 0), total);
            }
        }
    }
    for (int r = 0; r < Rows; r++)
        for (int t = 0; t < Tokens; t++) {
            const Sixteen* total = totals[r][t];
            p.y[(token + t) * p.output_stride + row + r] =
                sum_lanes(add(add(total[0], total[2]), add(total[1], total[3])));
        }
}

template <ElementType Type>
FLOATS void multiply_type(const DenseProduct& p, int32_t first_row, int32_t end_row) {
    int32_t row = first_row;
    for (; row + kDenseRows <= end_row && p.m > 1; row += kDenseRows) {
        int32_t token = 0;
        for (; token + kDenseRows <= p.m; token += kDenseRows)
            multiply_tile<Type, kDenseRows, kDenseRows, 1>(p, row, token);
        for (; token + 2 <= p.m; token += 2) multiply_tile<Type, kDenseRows, 2, kDenseRows / 2>(p, row, token);
        for (; token < p.m; token++) multiply_tile<Type, kDenseRows, 1, kDenseRows>(p, row, token);
    }
    for (; row < end_row; row++)
        for (int32_t token = 0; token < p.m; token++) multiply_tile<Type, 1, 1, 4>(p, row, token);
}

FLOATS void multiply_dense(const DenseProduct& p, int32_t first_row, int32_t end_row) {
    if (p.type == kFloat32)
        multiply_type<kFloat32>(p, first_row, end_row);
    else if (p.type == kFloat16)
        multiply_type<kFloat16>(p, first_row, end_row);
    else
        multiply_type<kBFloat16>(p, first_row, end_row);
}
