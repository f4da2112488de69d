// Attention of many new tokens of one sequence over all it has so far, in tiles that stay in a core's cache: keys and
// values of 128 tokens are taken from their blocks into panels, and the running softmax of each query row is rescaled as
// its maximum grows. The query heads of one KV head are the rows of one tile.
#pragma once

#include "decode_attention.h"
#include "tile.h"

namespace baton {

constexpr int64_t KEYS = 128;  // tokens of a tile
constexpr int64_t TILE_QUERIES = 384;

template <class T>
using Panel = typename Left<T>::Type;

inline int64_t queries_per_tile(const Heads& heads) { return std::max<int64_t>(1, TILE_QUERIES / heads.group()); }

// What one thread works in.
template <class T>
struct ChunkScratch {
    using P = Panel<T>;
    int64_t rows, depth, width;  // query rows, head size rounded up to pairs and to panels
    P *query, *weights, *keys, *values;
    float *scores, *out, *peaks, *totals;

    static int64_t bytes(const Heads& heads) {
        return ChunkScratch(heads, nullptr).lay(heads, nullptr);
    }
    ChunkScratch(const Heads& heads, char* memory) { lay(heads, memory); }

private:
    int64_t lay(const Heads& heads, char* memory) {
        rows = queries_per_tile(heads) * heads.group();
        depth = round_up(heads.head_dim, 2);
        width = round_up(heads.head_dim, PANEL);
        int64_t used = 0;
        auto take = [&](auto*& pointer, int64_t count) {
            pointer = memory ? reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(memory + used) : nullptr;
            used += round_up(count * sizeof *pointer, 64);
        };
        take(query, rows * depth);
        take(weights, TILE_ROWS * KEYS);
        take(keys, KEYS * depth);
        take(values, KEYS * width);
        take(scores, TILE_ROWS * KEYS);
        take(out, rows * width);
        take(peaks, rows);
        take(totals, rows);
        return used;
    }
};

// Rows become columns.
inline void transpose(Bits (&rows)[LANES]) {
    const Bits place = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#pragma GCC unroll 4
    for (int step = 1; step < LANES; step *= 2) {
        const Bits odd = (place & step) != 0 ? Bits{} + 1u : Bits{};
        const Bits low = place + odd * (uint32_t)(LANES - step), high = place + step + odd * (uint32_t)(LANES - step);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & step) continue;
            const Bits first = rows[i], second = rows[i + step];
            rows[i] = __builtin_shuffle(first, second, low);
            rows[i + step] = __builtin_shuffle(first, second, high);
        }
    }
}

// Sixteen tokens' keys, four bytes of each at a time, side by side.
inline void take_keys(const char* const (&keys)[LANES], int64_t bytes, char* column) {
    for (int64_t at = 0; at < bytes; at += sizeof(Bits)) {
        Bits rows[LANES];
        const int64_t count = std::min<int64_t>(sizeof(Bits), bytes - at);
        for (int64_t t = 0; t < LANES; t++) {
            if (count == sizeof(Bits))
                std::memcpy(&rows[t], keys[t] + at, sizeof(Bits));
            else
                rows[t] = Bits{}, std::memcpy(&rows[t], keys[t] + at, count);
        }
        transpose(rows);
        for (int64_t i = 0; i < count / 4; i++)
            std::memcpy(column + (at / 4 + i) * PANEL * 4, &rows[i], sizeof(Bits));
    }
}

// Two tokens' values entry by entry in turn, for pairs; one token's as they are, for singles.
template <class P, class T>
inline void take_values(const T* first, const T* second, int64_t count, P* row) {
    if constexpr (sizeof(P) == 2) {
        for (int64_t i = 0; i < count; i++) {
            row[2 * i] = first[i];
            row[2 * i + 1] = second[i];
        }
    } else {
        for (int64_t i = 0; i < count; i += LANES) {
            store_some(row + i, load_some(first + i, count - i), count - i);
            store_some(row + PANEL + i, load_some(second + i, count - i), count - i);
        }
    }
}

// Tokens [from, to) of one KV head into panels; what is beyond them in the tile is 0, whatever the pool holds there.
template <class T>
void take_tile(const Cache<T>& cache, const int64_t* table, int64_t kv_head, int64_t from, int64_t to,
               ChunkScratch<T>& scratch) {
    using P = Panel<T>;
    const int64_t dim = cache.head_dim, key_bytes = scratch.depth * sizeof(P);
    static const T zeros[MAX_HEAD_DIM] = {};
    alignas(64) float widened[std::is_same_v<P, T> ? 1 : LANES * MAX_HEAD_DIM];
    const char* keys[LANES];
    const T* values[LANES];
    for (int64_t start = 0; start < KEYS; start += LANES) {
        for (int64_t t = 0; t < LANES; t++) {
            const int64_t token = from + start + t, block = token < to ? table[token / cache.block_tokens] : 0;
            const T* key = token < to ? cache.key(block, kv_head, token % cache.block_tokens) : zeros;
            values[t] = token < to ? cache.value(block, kv_head, token % cache.block_tokens) : zeros;
            keys[t] = (const char*)key;
            if constexpr (!std::is_same_v<P, T>) {
                for (int64_t i = 0; i < dim; i += LANES)
                    store_some(widened + t * MAX_HEAD_DIM + i, load_some(key + i, dim - i), dim - i);
                keys[t] = (const char*)(widened + t * MAX_HEAD_DIM);
            }
        }
        take_keys(keys, key_bytes, (char*)(scratch.keys + start / PANEL * scratch.depth * PANEL) + start % PANEL * 4);
        for (int64_t t = 0; t < LANES; t += 2)
            for (int64_t c = 0; c < dim; c += PANEL)
                take_values<P>(values[t] + c, values[t + 1] + c, std::min(PANEL, dim - c),
                               scratch.values + c * KEYS + (start + t) * PANEL);
    }
}

// Turns a row's scores of PANELS panels into weights relative to the row's maximum so far. The row sees tokens
// [low, high) of them. Scores for bfloat16 are in powers of two, others in powers of e.
template <int PANELS, class T>
void weigh(ChunkScratch<T>& scratch, int64_t row, int64_t place, int64_t low, int64_t high, float scale) {
    constexpr int VECS = PANELS * PANEL / LANES;
    constexpr bool rough = sizeof(Panel<T>) == 2;
    const float* scores = scratch.scores + place * KEYS;
    const Vec steps = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const bool whole = low <= 0 && high >= PANELS * PANEL;
    const float before = scratch.peaks[row];
    Vec scaled[VECS], most = splat(before);
#pragma GCC unroll 8
    for (int v = 0; v < VECS; v++) scaled[v] = load(scores + v * LANES) * scale;
    if (!whole) {
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++) {
            const Vec token = steps + (float)(v * LANES);
            scaled[v] = token < (float)low ? splat(HIDDEN) : scaled[v];
            scaled[v] = token >= (float)high ? splat(HIDDEN) : scaled[v];
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < VECS; v++) most = larger(scaled[v], most);
    const float peak = max(most), base = peak <= HIDDEN ? 0 : peak;
    Vec total = {};
#pragma GCC unroll 8
    for (int v = 0; v < VECS; v++) {
        const Vec weights = rough ? rough_power(scaled[v] - base) : exponential(scaled[v] - base);
        total += weights;
        store(scratch.weights + place * KEYS + v * LANES, weights);
    }
    scratch.peaks[row] = peak;
    if (peak == before) {
        scratch.totals[row] += sum(total);
        return;
    }
    const float shrink = before <= HIDDEN ? 0 : rough ? std::exp2(before - base) : std::exp(before - base);
    scratch.totals[row] = scratch.totals[row] * shrink + sum(total);
    for (int64_t i = 0; i < scratch.width; i += LANES)
        store(scratch.out + row * scratch.width + i, load(scratch.out + row * scratch.width + i) * shrink);
}

template <class T, int PANELS = KEYS / PANEL>
void weigh_panels(int64_t panels, ChunkScratch<T>& scratch, int64_t row, int64_t place, int64_t low, int64_t high,
                  float scale) {
    if (panels == PANELS)
        weigh<PANELS>(scratch, row, place, low, high, scale);
    else if constexpr (PANELS > 1)
        weigh_panels<T, PANELS - 1>(panels, scratch, row, place, low, high, scale);
}

// Queries [first, first + count) of the sequence, for one KV head. Rows of `qkv` are the sequence's new tokens, their
// queries rotated already; `position` is the first row's. Results go to rows of `out`.
template <class T, class Out>
void attend_tile(const float* qkv, int64_t stride, int64_t first, int64_t count, int64_t position, int64_t kv_head,
                 const Heads& heads, const Cache<T>& cache, const int64_t* table, ChunkScratch<T>& scratch, Out* out,
                 int64_t out_stride) {
    const int64_t dim = heads.head_dim, group = heads.group(), rows = count * group;
    const int64_t depth = scratch.depth, width = scratch.width;
    if (depth != dim) std::memset(scratch.query, 0, rows * depth * sizeof *scratch.query);
    for (int64_t row = 0; row < rows; row++) {
        const float* query = qkv + (first + row % count) * stride + (kv_head * group + row / count) * dim;
        for (int64_t i = 0; i < dim; i += LANES)
            store_some(scratch.query + row * depth + i, load_some(query + i, dim - i), dim - i);
        scratch.peaks[row] = NOTHING;
        scratch.totals[row] = 0;
    }
    std::memset(scratch.out, 0, rows * width * sizeof(float));
    const int64_t end = position + first + count;
    const float scale = heads.scale * (sizeof(Panel<T>) == 2 ? LOG2_E : 1);
    for (int64_t from = first_visible(position + first, heads.window); from < end; from += KEYS) {
        const int64_t to = std::min(end, from + KEYS);
        take_tile(cache, table, kv_head, from, to, scratch);
        for (int64_t row = 0; row < rows; row += TILE_ROWS) {
            const int64_t tile = std::min<int64_t>(TILE_ROWS, rows - row);
            const int64_t oldest = row % count, newest = oldest + tile > count ? count - 1 : oldest + tile - 1;
            const int64_t seen = std::min(to, position + first + newest + 1) - from;  // by any of these rows
            if (seen <= 0) continue;
            const int64_t panels = (seen + PANEL - 1) / PANEL;
            for (int64_t p = 0; p < panels; p++)
                multiply_rows(tile, scratch.query + row * depth, depth, scratch.keys + p * PANEL * depth, depth,
                              nothing(scratch.keys), Store{scratch.scores + p * PANEL, KEYS, nullptr});
            for (int64_t r = 0; r < tile; r++) {
                const int64_t query = position + first + (row + r) % count;
                weigh_panels(panels, scratch, row + r, r, first_visible(query, heads.window) - from,
                             std::min(query + 1, to) - from, scale);
            }
            for (int64_t c = 0; c < width; c += PANEL)
                multiply_rows(tile, scratch.weights, KEYS, scratch.values + c * KEYS, panels * PANEL,
                              nothing(scratch.values), Add{scratch.out + row * width + c, width, nullptr});
        }
    }
    for (int64_t row = 0; row < rows; row++) {
        Out* to = out + (first + row % count) * out_stride + (kv_head * group + row / count) * dim;
        const float* sums = scratch.out + row * width;
        for (int64_t i = 0; i < dim; i += LANES)
            store_some(to + i, load(sums + i) / scratch.totals[row], dim - i);
    }
}

}  // namespace baton
