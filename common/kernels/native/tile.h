// The innermost product: a few rows times one panel of 32 columns, accumulated in registers over the whole depth.
//
// Every row is summed in the same order whatever the number of rows, so a row's result does not depend on its batch.
// A panel holds 32 columns of a matrix, depth first: float and half panels are [depth][32]; bfloat16 panels are
// [depth / 2][32][2], because the processor multiplies pairs.
#pragma once

#include "vectors.h"

namespace baton {

constexpr int64_t PANEL = 32;

#ifdef __AVX512F__
constexpr int TILE_ROWS = 12;
#else
constexpr int TILE_ROWS = 3;
#endif

// What a product with such a matrix takes from the left.
template <class W>
struct Left {
    using Type = float;
};
template <>
struct Left<Bf16> {
    using Type = Bf16;
};

template <class W>
constexpr int64_t depth_step() {
    return sizeof(typename Left<W>::Type) == 2 ? 2 : 1;
}

// out[rows][..32] = left[rows][depth] x panel. `AHEAD` bytes of the panel are fetched early; 0 when it is in a cache.
template <int ROWS, int AHEAD, class W>
inline void multiply(const float* left, int64_t stride, const W* panel, int64_t depth, float* out, int64_t out_stride) {
    Vec low[ROWS] = {}, high[ROWS] = {};
    for (int64_t k = 0; k < depth; k++, panel += PANEL) {
        if (AHEAD) {
            __builtin_prefetch((const char*)panel + AHEAD);
            if (sizeof(W) == 4) __builtin_prefetch((const char*)panel + AHEAD + 64);
        }
        Vec first = load(panel), second = load(panel + LANES);
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; row++) {
            Vec x = splat(left[row * stride + k]);
            low[row] += x * first;
            high[row] += x * second;
        }
    }
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; row++) {
        store(out + row * out_stride, low[row]);
        store(out + row * out_stride + LANES, high[row]);
    }
}

#ifdef __AVX512BF16__
template <int ROWS, int AHEAD>
inline void multiply(const Bf16* left, int64_t stride, const Bf16* panel, int64_t depth, float* out, int64_t out_stride) {
    __m512 low[ROWS], high[ROWS];
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; row++) low[row] = high[row] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 2, panel += 2 * PANEL) {
        if (AHEAD) {
            __builtin_prefetch((const char*)panel + AHEAD);
            __builtin_prefetch((const char*)panel + AHEAD + 64);
        }
        __m512bh first = (__m512bh)_mm512_loadu_si512(panel);
        __m512bh second = (__m512bh)_mm512_loadu_si512(panel + PANEL);
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; row++) {
            int32_t pair;
            std::memcpy(&pair, left + row * stride + k, sizeof pair);
            __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            low[row] = _mm512_dpbf16_ps(low[row], x, first);
            high[row] = _mm512_dpbf16_ps(high[row], x, second);
        }
    }
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; row++) {
        _mm512_storeu_ps(out + row * out_stride, low[row]);
        _mm512_storeu_ps(out + row * out_stride + LANES, high[row]);
    }
}
#else
template <int ROWS, int AHEAD>
inline void multiply(const Bf16* left, int64_t stride, const Bf16* panel, int64_t depth, float* out, int64_t out_stride) {
    Vec low[ROWS] = {}, high[ROWS] = {};
    for (int64_t k = 0; k < depth; k += 2, panel += 2 * PANEL) {
        if (AHEAD) __builtin_prefetch((const char*)panel + AHEAD);
        Bits first, second;
        std::memcpy(&first, panel, sizeof first);
        std::memcpy(&second, panel + PANEL, sizeof second);
        Vec first_even = (Vec)(first << 16), first_odd = (Vec)(first & 0xffff0000u);
        Vec second_even = (Vec)(second << 16), second_odd = (Vec)(second & 0xffff0000u);
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; row++) {
            uint32_t pair;
            std::memcpy(&pair, left + row * stride + k, sizeof pair);
            Vec even = (Vec)(Bits{} + (pair << 16)), odd = (Vec)(Bits{} + (pair & 0xffff0000u));
            low[row] = low[row] + even * first_even + odd * first_odd;
            high[row] = high[row] + even * second_even + odd * second_odd;
        }
    }
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; row++) {
        store(out + row * out_stride, low[row]);
        store(out + row * out_stride + LANES, high[row]);
    }
}
#endif

// The same for any number of rows up to TILE_ROWS.
template <int AHEAD, class A, class W, int ROWS = TILE_ROWS>
inline void multiply_rows(int64_t rows, const A* left, int64_t stride, const W* panel, int64_t depth, float* out, int64_t out_stride) {
    if (rows == ROWS)
        multiply<ROWS, AHEAD>(left, stride, panel, depth, out, out_stride);
    else if constexpr (ROWS > 1)
        multiply_rows<AHEAD, A, W, ROWS - 1>(rows, left, stride, panel, depth, out, out_stride);
}

}  // namespace baton
