// The definition: what the other files compute faster.
#include "kernel.h"

namespace bitlab {
namespace {

// The trit of a panel's row and column.
int32_t trit_at(const uint8_t* panel, int32_t row, int32_t column) {
    const int32_t in_step = column % kStepColumns;
    const uint8_t byte = panel[column / kStepColumns * kStepBytes + row * 4 + in_step % 4];
    return ((byte >> (2 * (in_step / 4))) & 3) - 1;
}

// The same in the dense form: four trits of each 80 columns' first 64 below a fifth of the last 16.
int32_t dense_trit_at(const uint8_t* panel, int32_t row, int32_t column) {
    const int32_t in_group = column % kDenseColumns;
    const int32_t last = in_group - 4 * kStepColumns;
    const int32_t step = column / kDenseColumns * 4 + (last < 0 ? in_group / kStepColumns : last / 4);
    const uint8_t byte = panel[step * kStepBytes + row * 4 + in_group % 4];
    constexpr int32_t kPowers[] = {1, 3, 9, 27, 81};
    return byte / kPowers[last < 0 ? in_group % kStepColumns / 4 : 4] % 3 - 1;
}

using TritAt = int32_t (*)(const uint8_t* panel, int32_t row, int32_t column);

void multiply_int8(const Product& p, TritAt trit, int32_t first_panel, int32_t end_panel) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t token = 0; token < p.m; token++) {
            const int32_t first = token / kTileTokens * kTileTokens;
            const int32_t tokens = p.tile_tokens(first);
            const int8_t* x = p.int8_tile(first) + (token - first) * 4;
            for (int32_t row = 0; row < epilogue.rows; row++) {
                int32_t sum = 0;
                for (int32_t column = 0; column < p.k; column++) {
                    sum += x[column / 4 * (tokens * 4) + column % 4] * trit(p.panel(panel), row, column);
                }
                const float scaled = static_cast<float>(sum) * (epilogue.scales[row] * p.x_scales[token]);
                *p.output(token, panel * kPanelRows + row) = scaled + epilogue.bias[row];
            }
        }
    }
}

}  // namespace

void multiply_int8_scalar(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_int8(p, trit_at, first_panel, end_panel);
}

void multiply_int8_dense_scalar(const Product& p, int32_t first_panel, int32_t end_panel) {
    multiply_int8(p, dense_trit_at, first_panel, end_panel);
}

void multiply_float32_scalar(const Product& p, int32_t first_panel, int32_t end_panel) {
    for (int32_t panel = first_panel; panel < end_panel; panel++) {
        const PanelEpilogue epilogue(p, panel * kPanelRows);
        for (int32_t token = 0; token < p.m; token++) {
            const int32_t first = token / kTileTokens * kTileTokens;
            const int32_t tokens = p.tile_tokens(first);
            const float* x = p.float32_tile(first) + (token - first);
            for (int32_t row = 0; row < epilogue.rows; row++) {
                float sum = 0.0f;
                for (int32_t column = 0; column < p.k; column++) {
                    sum += x[static_cast<int64_t>(column) * tokens] *
                           static_cast<float>(trit_at(p.panel(panel), row, column));
                }
                const float scaled = sum * epilogue.scales[row];
                *p.output(token, panel * kPanelRows + row) = scaled + epilogue.bias[row];
            }
        }
    }
}

}  // namespace bitlab
