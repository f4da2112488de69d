// Attention of one new token per sequence, straight over its blocks: what a KV head holds is read once for all the
// query heads that share it. Long contexts are cut into parts of a fixed length, so that threads can share one, and the
// parts are joined in order: a row's result depends on its context alone.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>

#include "rope_write.h"

namespace baton {

constexpr int64_t PART_TOKENS = 512;
constexpr int64_t STRIP_TOKENS = 64;  // scored together before their values are added up
constexpr int64_t MAX_HEAD_DIM = 256;
constexpr int64_t MAX_GROUP = 64;
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

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

// Asks for one token's entries of what is read next: runs are too short, and lie too far apart, for the processor to
// foresee them.
template <int64_t DIM, class T>
inline void foresee(const T* token) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < DIM * (int64_t)sizeof(T); i += 64) __builtin_prefetch((const char*)token + i);
}

template <int VECS, int GROUP, class T>
void score(const float* query, const T* keys, int64_t count, float* scores, int64_t stride, const T* values,
           const T* next) {
    constexpr int64_t DIM = VECS * LANES;
    for (int64_t t = 0; t < count; t++, keys += DIM, values += DIM, next += DIM) {
        foresee<DIM>(values);
        foresee<DIM>(next);
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
void score_group(int64_t group, const float* query, const T* keys, int64_t count, float* scores, const T* values,
                 const T* next) {
    for (; group >= GROUP; group -= GROUP, query += GROUP * VECS * LANES, scores += GROUP * STRIP_TOKENS)
        score<VECS, GROUP>(query, keys, count, scores, STRIP_TOKENS, values, next);
    if constexpr (GROUP > 1) score_group<VECS, GROUP - 1>(group, query, keys, count, scores, values, next);
}

template <int VECS, int GROUP, class T>
void add_group(int64_t group, const float* weights, const T* values, int64_t count, float* out) {
    for (; group >= GROUP; group -= GROUP, out += GROUP * VECS * LANES, weights += GROUP * STRIP_TOKENS)
        add_values<VECS, GROUP>(weights, STRIP_TOKENS, values, count, out);
    if constexpr (GROUP > 1) add_group<VECS, GROUP - 1>(group, weights, values, count, out);
}

// Tokens [from, to) of one sequence, for one KV head. `out` is [group, DIM], `peaks` and `totals` [group]. `after` is
// where whoever calls will read next.
template <int VECS, class T>
void attend_tokens(const float* query, const Heads& heads, const Cache<T>& cache, const int64_t* table, int64_t kv_head,
                   int64_t from, int64_t to, float* out, float* peaks, float* totals, const T* after) {
    constexpr int64_t DIM = VECS * LANES;
    constexpr int WIDTH = VECS <= 4 ? 4 : VECS <= 8 ? 2 : 1;
    const int64_t group = heads.group(), block_tokens = cache.block_tokens;
    alignas(64) float scores[MAX_GROUP * STRIP_TOKENS];
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
            const bool more = start + t + run < to;
            score_group<VECS, WIDTH>(group, query, cache.key(table[block], kv_head, offset), run, scores + t,
                                     cache.value(table[block], kv_head, offset),
                                     more ? cache.key(table[block + 1], kv_head, 0) : after);
        }
        for (int64_t g = 0; g < group; g++) {
            float* row = scores + g * STRIP_TOKENS;
            for (int64_t t = count; t < STRIP_TOKENS; t++) row[t] = NOTHING;
            Vec most = splat(peaks[g]);
            for (int64_t t = 0; t < STRIP_TOKENS; t += LANES) most = larger(load(row + t), most);
            const float peak = max(most), shrink = std::exp(peaks[g] - peak);
            Vec total = {};
            for (int64_t t = 0; t < STRIP_TOKENS; t += LANES) {
                Vec weights = exponential(load(row + t) - peak);
                total += weights;
                store(row + t, weights);
            }
            totals[g] = totals[g] * shrink + sum(total);
            if (shrink != 1)
                for (int64_t i = 0; i < DIM; i += LANES) store(out + g * DIM + i, load(out + g * DIM + i) * shrink);
            peaks[g] = peak;
        }
        for (int64_t t = 0, run; t < count; t += run) {
            const int64_t block = (start + t) / block_tokens, offset = (start + t) % block_tokens;
            run = std::min(count - t, block_tokens - offset);
            add_group<VECS, WIDTH>(group, scores + t, cache.value(table[block], kv_head, offset), run, out);
        }
    }
}

template <class T>
void attend_any(const float* query, const Heads& heads, const Cache<T>& cache, const int64_t* table, int64_t kv_head,
                int64_t from, int64_t to, float* out, float* peaks, float* totals, const T* after) {
    switch (heads.head_dim) {
        case 32: return attend_tokens<2>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
        case 64: return attend_tokens<4>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
        case 80: return attend_tokens<5>(query, heads, cache, table, kv_head, from, to, out, peaks, totals, after);
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
                 const Batch& batch, float* parts, std::atomic<int>& pending, Out* out, const T* after) {
    const int64_t dim = heads.head_dim, group = heads.group(), length = batch.kv_lens[row], count = num_parts(batch, heads, row);
    const int64_t from = first_visible(length - 1, heads.window) + part * PART_TOKENS;
    const int64_t to = std::min(length, from + PART_TOKENS);
    alignas(64) float query[MAX_GROUP * MAX_HEAD_DIM];
    for (int64_t g = 0; g < group; g++) {
        std::memcpy(query + g * dim, qkv + (kv_head * group + g) * dim, dim * sizeof(float));
        rotate_query(query + g * dim, heads, batch.positions[row]);
        for (int64_t i = 0; i < dim; i++) query[g * dim + i] *= heads.scale;
    }
    if (part == count - 1) write_kv(qkv, heads, cache, kv_head, batch, row);
    float* own = parts + part * part_floats(heads);
    float *peaks = own + group * dim, *totals = peaks + group;
    attend_any(query, heads, cache, batch.block_tables + row * batch.table_stride, kv_head, from, to, own, peaks, totals, after);
    if (pending.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    for (int64_t g = 0; g < group; g++) {
        float peak = NOTHING, total = 0;
        for (int64_t p = 0; p < count; p++) peak = std::max(peak, parts[p * part_floats(heads) + group * dim + g]);
        alignas(64) float joined[MAX_HEAD_DIM] = {};
        for (int64_t p = 0; p < count; p++) {
            const float* found = parts + p * part_floats(heads);
            const float factor = std::exp(found[group * dim + g] - peak);
            total += found[group * dim + group + g] * factor;
            for (int64_t i = 0; i < dim; i++) joined[i] += found[g * dim + i] * factor;
        }
        for (int64_t i = 0; i < dim; i += LANES)
            store(out + (kv_head * group + g) * dim + i, load(joined + i) / total);
    }
}

}  // namespace baton
