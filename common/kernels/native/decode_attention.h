// Attention of one new token per sequence, straight over its blocks: what a KV head holds is read once for all the
// query heads that share it. Long contexts are cut into parts of a fixed length, so that threads can share one, and the
// parts are joined in order: a row's result depends on its context alone.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>

#include "decode_pairs.h"
#include "rope_write.h"

namespace baton {

constexpr int64_t PART_TOKENS = 512;
constexpr int64_t MAX_HEAD_DIM = 256;
constexpr int64_t MAX_GROUP = 64;
constexpr float NOTHING = -std::numeric_limits<float>::infinity();
constexpr float HIDDEN = -1e30f;  // far below any score, and still a number

// Head sizes that a kernel below exists for; others go the way of chunks.
inline bool decodes(int64_t head_dim) {
    return head_dim == 32 || head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128 || head_dim == 256;
}

inline int64_t first_visible(int64_t position, int64_t window) {
    return window && position + 1 > window ? position + 1 - window : 0;
}

// Parts of the context of sequence `row`, cut from its first visible token on.
inline int64_t num_parts(const Batch& batch, const Heads& heads, int64_t row) {
    const int64_t last = batch.kv_lens[row] - 1;
    return (last - first_visible(last, heads.window)) / PART_TOKENS + 1;
}

// What a part found: per query head its maximum, its sum of weights, and the weighted values.
inline int64_t part_floats(const Heads& heads) { return heads.group() * (heads.head_dim + LANES); }

template <int VECS, int GROUP, class T>
void score(const float* query, const T* keys, int64_t count, float* scores, int64_t stride, const Later<T>& later) {
    constexpr int64_t DIM = VECS * LANES;
    for (int64_t t = 0; t < count; t++, keys += DIM) {
        later.template foresee<DIM>(t, t + 1);
        Vec sums[GROUP] = {};
#pragma GCC unroll 16
        for (int v = 0; v < VECS; v++) {
            Vec key = load(keys + v * LANES);
#pragma GCC unroll 4
            for (int g = 0; g < GROUP; g++) sums[g] += load(query + g * DIM + v * LANES) * key;
        }
#pragma GCC unroll 4
        for (int g = 0; g < GROUP; g++) scores[g * stride + t] = sum(sums[g]);
    }
}

template <int VECS, int GROUP, class T>
void add_values(const float* weights, int64_t stride, const T* values, int64_t count, float* out) {
    constexpr int64_t DIM = VECS * LANES;
    Vec sums[GROUP][VECS];
#pragma GCC unroll 4
    for (int g = 0; g < GROUP; g++)
#pragma GCC unroll 16
        for (int v = 0; v < VECS; v++) sums[g][v] = load(out + g * DIM + v * LANES);
    for (int64_t t = 0; t < count; t++, values += DIM) {
#pragma GCC unroll 16
        for (int v = 0; v < VECS; v++) {
            Vec value = load(values + v * LANES);
#pragma GCC unroll 4
            for (int g = 0; g < GROUP; g++) sums[g][v] += splat(weights[g * stride + t]) * value;
        }
    }
#pragma GCC unroll 4
    for (int g = 0; g < GROUP; g++)
#pragma GCC unroll 16
        for (int v = 0; v < VECS; v++) store(out + g * DIM + v * LANES, sums[g][v]);
}

// As many query heads at once as registers hold.
template <int VECS, int GROUP, class T>
void score_group(int64_t group, const float* query, const T* keys, int64_t count, float* scores, const Later<T>& later) {
    for (; group >= GROUP; group -= GROUP, query += GROUP * VECS * LANES, scores += GROUP * STRIP_TOKENS)
        score<VECS, GROUP>(query, keys, count, scores, STRIP_TOKENS, later);
    if constexpr (GROUP > 1) score_group<VECS, GROUP - 1>(group, query, keys, count, scores, later);
}

template <int VECS, int GROUP, class T>
void add_group(int64_t group, const float* weights, const T* values, int64_t count, float* out) {
    for (; group >= GROUP; group -= GROUP, out += GROUP * VECS * LANES, weights += GROUP * STRIP_TOKENS)
        add_values<VECS, GROUP>(weights, STRIP_TOKENS, values, count, out);
    if constexpr (GROUP > 1) add_group<VECS, GROUP - 1>(group, weights, values, count, out);
}

// Tokens [from, to) of one sequence, for one KV head. `out` is [group, DIM], `peaks` and `totals` [group]. `after` is
// where whoever calls will read next, block by block. A query in pairs has its scores in powers of two, others in powers
// of e.
template <int VECS, class Q, class T>
void attend_tokens(const Q* query, const Heads& heads, const Cache<T>& cache, const int64_t* table, int64_t kv_head,
                   int64_t from, int64_t to, float* out, float* peaks, float* totals, const T* const* after) {
    constexpr int64_t DIM = VECS * LANES;
    constexpr int WIDTH = VECS <= 4 ? 4 : VECS <= 8 ? 2 : 1;
    const int64_t group = heads.group(), block_tokens = cache.block_tokens;
    alignas(64) float scores[MAX_GROUP * STRIP_TOKENS];
    alignas(64) Q weights[MAX_GROUP * STRIP_TOKENS];
    for (int64_t g = 0; g < group; g++) {
        peaks[g] = NOTHING;
        totals[g] = 0;
        std::memset(out + g * DIM, 0, DIM * sizeof(float));
    }
    for (int64_t start = from; start < to; start += STRIP_TOKENS) {
        const int64_t count = std::min(STRIP_TOKENS, to - start);
        for (int64_t t = 0, run; t < count; t += run) {
            const int64_t block = (start + t) / block_tokens, offset = (start + t) % block_tokens;
            run = std::min(count - t, block_tokens - offset);
            const int64_t beyond = block + BLOCKS_AHEAD - (to - 1) / block_tokens;  // the last block of these tokens
            const Later<T> later =
                beyond <= 0 ? Later<T>{cache.key(table[block + BLOCKS_AHEAD], kv_head, offset), cache.kv_stride, run}
                            : Later<T>{after[beyond - 1], cache.kv_stride, std::min(block_tokens, STRIP_TOKENS)};
            score_group<VECS, WIDTH>(group, query, cache.key(table[block], kv_head, offset), run, scores + t, later);
        }
        for (int64_t g = 0; g < group; g++) {
            float* row = scores + g * STRIP_TOKENS;
            for (int64_t t = count; t < STRIP_TOKENS; t++) row[t] = HIDDEN;
            Vec most = splat(peaks[g]);
            for (int64_t t = 0; t < STRIP_TOKENS; t += LANES) most = larger(load(row + t), most);
            const float peak = max(most), shrink = raise<Q>(peaks[g] - peak);
            Vec total = {};
            for (int64_t t = 0; t < STRIP_TOKENS; t += LANES) {
                const Vec below = load(row + t) - peak;
                const Vec each = std::is_same_v<Q, float> ? exponential(below) : rough_power(below);
                total += each;
                store(weights + g * STRIP_TOKENS + t, each);
            }
            totals[g] = totals[g] * shrink + sum(total);
            if (shrink != 1)
                for (int64_t i = 0; i < DIM; i += LANES) store(out + g * DIM + i, load(out + g * DIM + i) * shrink);
            peaks[g] = peak;
        }
        for (int64_t t = 0, run; t < count; t += run) {
            const int64_t block = (start + t) / block_tokens, offset = (start + t) % block_tokens;
            run = std::min(count - t, block_tokens - offset);
            add_group<VECS, WIDTH>(group, weights + t, cache.value(table[block], kv_head, offset), run, out);
        }
    }
    if constexpr (!std::is_same_v<Q, float>) put_in_order<VECS>(out, group);
}

template <class Q, class T>
void attend_any(const Q* query, const Heads& heads, const Cache<T>& cache, const int64_t* table, int64_t kv_head,
                int64_t from, int64_t to, float* out, float* peaks, float* totals, const T* const* after) {
    switch (heads.head_dim) {
        case 32: return attend_tokens<2>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
        case 64: return attend_tokens<4>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
        case 80:
            if constexpr (std::is_same_v<Q, float>)
                return attend_tokens<5>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
            return;
        case 96: return attend_tokens<6>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
        case 128: return attend_tokens<8>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
        default: return attend_tokens<16>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
    }
}

// One part of one sequence for one KV head: rotates its queries, writes the new token's KV if the part reaches it, and
// attends. Whoever finishes a row's last part joins them all; `pending` counts the parts of (sequence, KV head).
// `parts` holds the results of the row's parts, `part_floats` each.
template <class T, class Out>
void attend_part(float* qkv, int64_t row, int64_t kv_head, int64_t part, const Heads& heads, const Cache<T>& cache,
                 const Batch& batch, float* parts, std::atomic<int>& pending, Out* out, const T* const* after) {
    const int64_t dim = heads.head_dim, group = heads.group(), length = batch.kv_lens[row], count = num_parts(batch, heads, row);
    const int64_t from = first_visible(length - 1, heads.window) + part * PART_TOKENS;
    const int64_t to = std::min(length, from + PART_TOKENS);
    alignas(64) float query[MAX_GROUP * MAX_HEAD_DIM];
    const bool paired = PAIRS<T> && dim % PANEL == 0;
    for (int64_t g = 0; g < group; g++) {
        std::memcpy(query + g * dim, qkv + (kv_head * group + g) * dim, dim * sizeof(float));
        rotate_query(query + g * dim, heads, batch.positions[row]);
        for (int64_t i = 0; i < dim; i++) query[g * dim + i] *= paired ? heads.scale * LOG2_E : heads.scale;
    }
    if (part == count - 1) write_kv(qkv, heads, cache, kv_head, batch, row);
    float* own = parts + part * part_floats(heads);
    float *peaks = own + group * dim, *totals = peaks + group;
    const int64_t* table = batch.block_tables + row * batch.table_stride;
    if constexpr (PAIRS<T>)
        if (paired) {
            alignas(64) Bf16 rounded[MAX_GROUP * MAX_HEAD_DIM];
            for (int64_t i = 0; i < group * dim; i += LANES) store(rounded + i, load(query + i));
            attend_any(rounded, heads, cache, table, kv_head, from, to, own, peaks, totals, after);
        }
    if (!paired) attend_any(query, heads, cache, table, kv_head, from, to, own, peaks, totals, after);
    if (pending.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    pending.store(count, std::memory_order_relaxed);  // for the next layer
    for (int64_t g = 0; g < group; g++) {
        float peak = NOTHING, total = 0;
        for (int64_t p = 0; p < count; p++) peak = std::max(peak, parts[p * part_floats(heads) + group * dim + g]);
        alignas(64) float joined[MAX_HEAD_DIM] = {};
        for (int64_t p = 0; p < count; p++) {
            const float* found = parts + p * part_floats(heads);
            const float lower = found[group * dim + g] - peak, factor = paired ? raise<Bf16>(lower) : raise<float>(lower);
            total += found[group * dim + group + g] * factor;
            for (int64_t i = 0; i < dim; i++) joined[i] += found[g * dim + i] * factor;
        }
        for (int64_t i = 0; i < dim; i += LANES)
            store(out + (kv_head * group + g) * dim + i, load(joined + i) / total);
    }
}

}  // namespace baton
