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

// Where a tile's sums go, row by row: stored, or added to what is there. `bias` may be null.
struct Store {
    float* to;
    int64_t stride;
    const float* bias;
    void operator()(int64_t row, Vec low, Vec high) const {
        store(to + row * stride, low);
        store(to + row * stride + LANES, high);
    }
};
struct Add {
    float* to;
    int64_t stride;
    const float* bias;
    void operator()(int64_t row, Vec low, Vec high) const {
        float* sums = to + row * stride;
        store(sums, load(sums) + low);
        store(sums + LANES, load(sums + LANES) + high);
    }
};

// What is asked of memory while a tile is computed: two lines for every step through its depth.
struct Ahead {
    const void* from;
    int64_t step, second;
    void ask() {
        __builtin_prefetch(from);
        __builtin_prefetch((const char*)from + second);
        from = (const char*)from + step;
    }
};
struct NotAhead {
    void ask() const {}
};

inline Ahead nothing(const void* panel) { return {panel, 0, 0}; }

// The left side of a tile: entry k of a row stands at row * stride + k * pace. The last row is apart, so that it can be
// the one before once more.
template <class A>
struct LeftRows {
    const A* first;
    int64_t stride, pace;
    const A* last;
};

// low and high += left[ROWS][depth] x panel. Inlined, so that sums stay in registers; whatever else the caller keeps in
// some while they are made, there must be room for.
template <int ROWS, class W, class Ask>
__attribute__((always_inline)) inline void accumulate(const LeftRows<float>& left, const W* panel, int64_t depth, Ask ahead,
                                                      Vec (&low)[ROWS], Vec (&high)[ROWS]) {
    for (int64_t k = 0; k < depth; k++, panel += PANEL) {
        ahead.ask();
        const Vec first = load(panel), second = load(panel + LANES);
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; row++) {
            const Vec x = splat((row < ROWS - 1 ? left.first + row * left.stride : left.last)[k * left.pace]);
            low[row] += x * first;
            high[row] += x * second;
        }
    }
}

template <int ROWS, class Ask>
__attribute__((always_inline)) inline void accumulate(const LeftRows<Bf16>& left, const Bf16* panel, int64_t depth,
                                                      Ask ahead, Vec (&low)[ROWS], Vec (&high)[ROWS]) {
    for (int64_t k = 0; k < depth; k += 2, panel += 2 * PANEL) {
        ahead.ask();
#ifdef __AVX512BF16__
        const __m512bh first = (__m512bh)_mm512_loadu_si512(panel), second = (__m512bh)_mm512_loadu_si512(panel + PANEL);
#else
        Bits first, second;
        std::memcpy(&first, panel, sizeof first);
        std::memcpy(&second, panel + PANEL, sizeof second);
        const Vec first_even = (Vec)(first << 16), first_odd = (Vec)(first & 0xffff0000u);
        const Vec second_even = (Vec)(second << 16), second_odd = (Vec)(second & 0xffff0000u);
#endif
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; row++) {
            uint32_t pair;
            std::memcpy(&pair, (row < ROWS - 1 ? left.first + row * left.stride : left.last) + k * left.pace, sizeof pair);
#ifdef __AVX512BF16__
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            low[row] = (Vec)_mm512_dpbf16_ps((__m512)low[row], x, first);
            high[row] = (Vec)_mm512_dpbf16_ps((__m512)high[row], x, second);
#else
            const Vec even = (Vec)(Bits{} + (pair << 16)), odd = (Vec)(Bits{} + (pair & 0xffff0000u));
            low[row] = low[row] + even * first_even + odd * first_odd;
            high[row] = high[row] + even * second_even + odd * second_odd;
#endif
        }
    }
}

// The first `rows` of ROWS sums, in a loop over memory: until they are all there, registers hold nothing but sums.
template <int ROWS, class Finish>
inline void hand_over(const Vec (&low)[ROWS], const Vec (&high)[ROWS], int64_t rows, const Finish& finish) {
    Vec sums[ROWS][2];
#pragma GCC unroll 16
    for (int row = 0; row < ROWS; row++) sums[row][0] = low[row], sums[row][1] = high[row];
    if (finish.bias)
        for (int row = 0; row < rows; row++)
            sums[row][0] += load(finish.bias), sums[row][1] += load(finish.bias + LANES);
#pragma GCC unroll 1
    for (int row = 0; row < rows; row++) finish(row, sums[row][0], sums[row][1]);
}

// left[rows][depth] x panel; every row's 32 sums go to `finish`. ROWS is `rows`, or one more: then the last row is
// computed twice. Never inlined: constants that a caller keeps in registers for its `finish` would push sums out of
// theirs, which made a gated product a third slower.
template <int ROWS, class A, class W, class Finish>
__attribute__((noinline)) void multiply(const A* left, int64_t stride, int64_t rows, const W* panel, int64_t depth,
                                        const Ahead& ahead, const Finish& finish) {
    Vec low[ROWS] = {}, high[ROWS] = {};
    accumulate<ROWS>(LeftRows<A>{left, stride, 1, left + (rows - 1) * stride}, panel, depth, ahead, low, high);
    hand_over<ROWS>(low, high, rows, finish);
}

// The same for any number of rows up to TILE_ROWS. Of the larger heights only even ones are compiled.
template <int ROWS = TILE_ROWS, class A, class W, class Finish>
inline void multiply_rows(int64_t rows, const A* left, int64_t stride, const W* panel, int64_t depth, const Ahead& ahead,
                          const Finish& finish) {
    constexpr int LOWER = ROWS > 4 ? ROWS - 2 : ROWS - 1;
    if constexpr (ROWS > 1)
        if (rows <= LOWER) return multiply_rows<LOWER>(rows, left, stride, panel, depth, ahead, finish);
    multiply<ROWS>(left, stride, rows, panel, depth, ahead, finish);
}

}  // namespace baton
