// Scores and weighted values of one new token per sequence for bfloat16, two entries at a time: a product's sixteen sums
// per token are added up for sixteen tokens together. Exists for processors that multiply pairs.
#pragma once

#include <cmath>
#include <type_traits>

#include "tile.h"

namespace baton {

constexpr int64_t STRIP_TOKENS = 64;  // scored together before their values are added up

#ifdef __AVX512BF16__
template <class T>
constexpr bool PAIRS = std::is_same_v<T, Bf16>;
#else
template <class T>
constexpr bool PAIRS = false;
#endif

// What scores are exponents of: 2 for queries in pairs, e for others.
template <class Q>
inline float raise(float x) {
    return std::is_same_v<Q, float> ? std::exp(x) : std::exp2(x);
}

// Blocks between the one that is asked for and the one that is read: runs are too short, and lie too far apart, for the
// processor to foresee them, and memory takes longer to answer than a block to compute.
constexpr int64_t BLOCKS_AHEAD = 3;

// Keys of tokens that are read soon; their values lie `kv_stride` behind.
template <class T>
struct Later {
    const T* keys;
    int64_t kv_stride, count;

    template <int64_t DIM>
    void foresee(int64_t from, int64_t to) const {
        for (int64_t i = from * DIM; i < std::min(to, count) * DIM; i += 64 / (int64_t)sizeof(T)) {
            __builtin_prefetch(keys + i);
            __builtin_prefetch(keys + kv_stride + i);
        }
    }
};

#ifdef __AVX512BF16__
// Lane t of the result is the sum of all lanes of rows[t].
inline __m512 sums_of(__m512 (&rows)[LANES]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        rows[i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]) + _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512d first = (__m512d)rows[2 * i], second = (__m512d)rows[2 * i + 1];
        rows[i] = (__m512)_mm512_unpacklo_pd(first, second) + (__m512)_mm512_unpackhi_pd(first, second);
    }
#pragma GCC unroll 2
    for (int step = 2; step > 0; step--)
#pragma GCC unroll 2
        for (int i = 0; i < step; i++)
            rows[i] = _mm512_shuffle_f32x4(rows[2 * i], rows[2 * i + 1], 0x88) +
                      _mm512_shuffle_f32x4(rows[2 * i], rows[2 * i + 1], 0xdd);
    return rows[0];
}

// Up to sixteen tokens at a time; those beyond the last are scored like it and not stored.
template <int VECS, int, class T>
void score_group(int64_t group, const Bf16* query, const T* keys, int64_t count, float* scores, const Later<T>& later) {
    constexpr int64_t DIM = VECS * LANES;
    for (int64_t start = 0; start < count; start += LANES) {
        const int64_t num = std::min(LANES, count - start);
        const T* first = keys + start * DIM;
        for (int64_t g = 0; g < group; g++) {
            later.template foresee<DIM>(start + LANES * g / group, start + LANES * (g + 1) / group);
            __m512 rows[LANES];
#pragma GCC unroll 16
            for (int t = 0; t < LANES; t++) {
                const T* key = first + std::min<int64_t>(t, num - 1) * DIM;
                rows[t] = _mm512_setzero_ps();
#pragma GCC unroll 8
                for (int v = 0; v < DIM; v += PANEL)
                    rows[t] = _mm512_dpbf16_ps(rows[t], (__m512bh)_mm512_loadu_si512(query + g * DIM + v),
                                               (__m512bh)_mm512_loadu_si512(key + v));
            }
            store_some(scores + g * STRIP_TOKENS + start, (Vec)sums_of(rows), num);
        }
    }
}

// Sums of 32 entries stand in the order that interleaving two tokens' values leaves them in, until `put_in_order`.
template <int VECS, int GROUP>
void add_pairs(const Bf16* weights, const Bf16* values, int64_t count, float* out) {
    constexpr int64_t DIM = VECS * LANES;
    Vec sums[GROUP][VECS];
#pragma GCC unroll 4
    for (int g = 0; g < GROUP; g++)
#pragma GCC unroll 16
        for (int v = 0; v < VECS; v++) sums[g][v] = load(out + g * DIM + v * LANES);
    for (int64_t t = 0; t < count; t += 2) {
        const bool alone = t + 1 == count;
        const Bf16 *first = values + t * DIM, *second = alone ? first : first + DIM;
        __m512bh pairs[GROUP];
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; g++) {
            uint32_t pair;
            std::memcpy(&pair, weights + g * STRIP_TOKENS + t, sizeof pair);
            pairs[g] = (__m512bh)_mm512_set1_epi32(alone ? pair & 0xffff : pair);
        }
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v += 2) {
            const __m512i one = _mm512_loadu_si512(first + v * LANES), two = _mm512_loadu_si512(second + v * LANES);
            const __m512bh low = (__m512bh)_mm512_unpacklo_epi16(one, two), high = (__m512bh)_mm512_unpackhi_epi16(one, two);
#pragma GCC unroll 4
            for (int g = 0; g < GROUP; g++) {
                sums[g][v] = (Vec)_mm512_dpbf16_ps((__m512)sums[g][v], low, pairs[g]);
                sums[g][v + 1] = (Vec)_mm512_dpbf16_ps((__m512)sums[g][v + 1], high, pairs[g]);
            }
        }
    }
#pragma GCC unroll 4
    for (int g = 0; g < GROUP; g++)
#pragma GCC unroll 16
        for (int v = 0; v < VECS; v++) store(out + g * DIM + v * LANES, sums[g][v]);
}

template <int VECS, int GROUP>
void add_group(int64_t group, const Bf16* weights, const Bf16* values, int64_t count, float* out) {
    for (; group >= GROUP; group -= GROUP, out += GROUP * VECS * LANES, weights += GROUP * STRIP_TOKENS)
        add_pairs<VECS, GROUP>(weights, values, count, out);
    if constexpr (GROUP > 1) add_group<VECS, GROUP - 1>(group, weights, values, count, out);
}

template <int VECS>
void put_in_order(float* out, int64_t group) {
    for (float* end = out + group * VECS * LANES; out < end; out += PANEL) {
        const __m512 low = _mm512_loadu_ps(out), high = _mm512_loadu_ps(out + LANES);
        const __m512 first = _mm512_shuffle_f32x4(low, high, 0x44), second = _mm512_shuffle_f32x4(low, high, 0xee);
        _mm512_storeu_ps(out, _mm512_shuffle_f32x4(first, first, 0xd8));
        _mm512_storeu_ps(out + LANES, _mm512_shuffle_f32x4(second, second, 0xd8));
    }
}
#endif

}  // namespace baton
