// Root-mean-square norm of a row of floats.
#pragma once

#include <cmath>

#include "vectors.h"

namespace baton {

// `count` entries; `weight` is float. Whatever lies behind them in the last sixteen of `row` is not read.
template <class Out>
void rms_norm(const float* row, const float* weight, int64_t count, float eps, Out* out) {
    Vec squares = {};
    for (int64_t i = 0; i < count; i += LANES) {
        Vec x = load_some(row + i, count - i);
        squares += x * x;
    }
    const float scale = 1.0f / std::sqrt(sum(squares) / count + eps);
    for (int64_t i = 0; i < count; i += LANES)
        store_some(out + i, load_some(row + i, count - i) * scale * load_some(weight + i, count - i), count - i);
}

}  // namespace baton
