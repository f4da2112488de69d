// Root-mean-square norm of a row of floats.
#pragma once

#include <cmath>

#include "vectors.h"

namespace baton {

// `count` entries; `weight` is float. Whatever lies behind them in the last sixteen of `row` is not read.
template <class Out>
void rms_norm(const float* row, const float* weight, int64_t count, float eps, Out* out) {
    constexpr int64_t TOGETHER = 4;  // sums, so that none waits for itself
    const int64_t whole = count / LANES * LANES, even = count / (TOGETHER * LANES) * (TOGETHER * LANES);
    Vec squares[TOGETHER] = {};
    for (int64_t i = 0; i < even; i += TOGETHER * LANES)
        for (int64_t n = 0; n < TOGETHER; n++) {
            const Vec x = load(row + i + n * LANES);
            squares[n] += x * x;
        }
    for (int64_t i = even; i < count; i += LANES) {
        const Vec x = load_some(row + i, count - i);
        squares[0] += x * x;
    }
    const float total = sum((squares[0] + squares[1]) + (squares[2] + squares[3]));
    const float scale = 1.0f / std::sqrt(total / count + eps);
    for (int64_t i = 0; i < whole; i += LANES) store(out + i, load(row + i) * scale * load(weight + i));
    if (const int64_t rest = count - whole)
        store_some(out + whole, load_some(row + whole, rest) * scale * load_some(weight + whole, rest), rest);
}

}  // namespace baton
