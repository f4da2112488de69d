// What attention of a chunk works in: queries in panels, of which each is a lane, and keys and values of some tokens as
// the left sides that meet them. Scores then stand with a token to a row, and a softmax runs along a lane.
#pragma once

#include <type_traits>

#include "decode_attention.h"
#include "tile.h"

namespace baton {

constexpr int64_t KEYS = 128;  // tokens of a tile
constexpr int64_t TILE_QUERIES = 384;
#ifdef __AVX512F__
constexpr int STRIP = 8;  // tokens scored together, and entries of values summed up together
#else
constexpr int STRIP = 2;
#endif

template <class T>
using Panel = typename Left<T>::Type;

inline int64_t queries_per_tile(const Heads& heads) { return std::max<int64_t>(1, TILE_QUERIES / heads.group()); }

// What one thread works in.
template <class T>
struct ChunkScratch {
    using P = Panel<T>;
    int64_t lanes, depth, width;  // queries of all heads of a group; head size rounded up to pairs and to vectors
    P *queries, *keys, *values, *weights;
    float *out, *bases, *totals;
    int32_t* places;

    static int64_t bytes(const Heads& heads) {
        return ChunkScratch(heads, nullptr).lay(heads, nullptr);
    }
    ChunkScratch(const Heads& heads, char* memory) { lay(heads, memory); }

private:
    int64_t lay(const Heads& heads, char* memory) {
        lanes = round_up(queries_per_tile(heads) * heads.group(), PANEL);
        depth = round_up(heads.head_dim, 2);
        width = round_up(heads.head_dim, LANES);
        int64_t used = 0;
        auto take = [&](auto*& pointer, int64_t count) {
            pointer = memory ? reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(memory + used) : nullptr;
            used += round_up(count * sizeof *pointer, 64);
        };
        take(queries, lanes * depth);  // panels
        take(keys, KEYS * depth);      // rows
        take(values, KEYS * width);    // rows, or pairs of them entry by entry in turn
        take(weights, KEYS * PANEL);   // a panel
        take(out, lanes * width);      // [width][PANEL] for every panel of queries
        take(bases, lanes);
        take(totals, lanes);
        take(places, lanes);
        return used;
    }
};

// Rounded, and each entry of the first beside its one of the second: what pairs are multiplied from. Floats stay as they
// are, the second ones `apart` behind the first.
inline void store_pairs(float* to, Vec first, Vec second, int64_t apart) {
    store(to, first);
    store(to + apart, second);
}

inline void store_pairs(Bf16* to, Vec first, Vec second, int64_t) {
#ifdef __AVX512BF16__
    const __m512i places = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,  //
                                            23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(places, rounded));
#else
    const Bits pairs = (upper_half(first) >> 16) | (upper_half(second) & 0xffff0000u);
    std::memcpy(to, &pairs, sizeof pairs);
#endif
}

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

// Sixteen rows, four bytes of each at a time, side by side.
inline void take_columns(const char* const (&from)[LANES], int64_t bytes, char* column) {
    for (int64_t at = 0; at < bytes; at += sizeof(Bits)) {
        Bits rows[LANES];
        const int64_t count = std::min<int64_t>(sizeof(Bits), bytes - at);
        for (int64_t t = 0; t < LANES; t++) {
            if (count == sizeof(Bits))
                std::memcpy(&rows[t], from[t] + at, sizeof(Bits));
            else
                rows[t] = Bits{}, std::memcpy(&rows[t], from[t] + at, count);
        }
        transpose(rows);
        for (int64_t i = 0; i < count / 4; i++)
            std::memcpy(column + (at / 4 + i) * PANEL * 4, &rows[i], sizeof(Bits));
    }
}

// Sixteen rows from `start` on of those that a tile's queries are, `dim` entries each; row r is head r % group of query
// r / group, so that lanes of a panel see nearly the same tokens. The processor would not foresee them.
template <class Entry>
void foresee_rows(const Entry* first, int64_t stride, int64_t dim, int64_t group, int64_t start, int64_t rows) {
    for (int64_t row = start; row < std::min(start + LANES, rows); row++)
        for (int64_t i = 0; i < dim; i += 64 / (int64_t)sizeof(Entry))
            __builtin_prefetch(first + row / group * stride + row % group * dim + i, std::is_same_v<Entry, float> ? 0 : 1);
}

// A tile's queries, rotated here, and the position of each. `first` is the row of the first query in `qkv` and `position`
// its own. What is beyond them in the last panel sees as much as they do, and is 0.
template <class T>
void take_queries(const float* first, int64_t stride, int64_t count, int64_t position, float scale, const Heads& heads,
                  ChunkScratch<T>& scratch) {
    using P = Panel<T>;
    const int64_t dim = heads.head_dim, group = heads.group(), rows = count * group;
    alignas(64) P taken[LANES * MAX_HEAD_DIM] = {};
    alignas(64) float query[MAX_HEAD_DIM] = {};
    const char* from[LANES];
    for (int64_t start = 0; start < round_up(rows, PANEL); start += LANES) {
        foresee_rows(first, stride, dim, group, start + LANES, rows);
        for (int64_t t = 0; t < LANES; t++) {
            const int64_t row = std::min(start + t, rows - 1), place = position + row / group;
            P* to = taken + t * MAX_HEAD_DIM;
            std::memcpy(query, first + row / group * stride + row % group * dim, dim * sizeof(float));
            rotate_query(query, heads, place);
            for (int64_t i = 0; i < dim; i += LANES)
                store_some(to + i, load(query + i) * (start + t < rows ? scale : 0), dim - i);
            from[t] = (const char*)to;
            scratch.places[start + t] = (int32_t)place;
        }
        take_columns(from, scratch.depth * sizeof(P),
                     (char*)(scratch.queries + start / PANEL * PANEL * scratch.depth) + start % PANEL * 4);
    }
}

// Tokens [from, to) of one KV head; what is beyond them up to a whole strip is 0, whatever the pool holds there.
template <class T>
void take_tile(const Cache<T>& cache, const int64_t* table, int64_t kv_head, int64_t from, int64_t to,
               ChunkScratch<T>& scratch) {
    using P = Panel<T>;
    constexpr int64_t step = depth_step<T>();
    const int64_t dim = cache.head_dim, depth = scratch.depth, width = scratch.width;
    static const T zeros[MAX_HEAD_DIM] = {};
    for (int64_t t = 0; t < round_up(to - from, STRIP); t += 2) {
        const T *keys[2], *values[2];
        for (int64_t n = 0; n < 2; n++) {
            const int64_t token = from + t + n, block = token < to ? table[token / cache.block_tokens] : 0;
            keys[n] = token < to ? cache.key(block, kv_head, token % cache.block_tokens) : zeros;
            values[n] = token < to ? cache.value(block, kv_head, token % cache.block_tokens) : zeros;
        }
        for (int64_t i = 0; i < dim; i += LANES) {
            for (int64_t n = 0; n < 2; n++)
                store_some(scratch.keys + (t + n) * depth + i, load_some(keys[n] + i, dim - i), dim - i);
            store_pairs(scratch.values + t * width + i * step, load_some(values[0] + i, dim - i),
                        load_some(values[1] + i, dim - i), width);
        }
    }
}

// A tile's results, from panels to rows of `first`, which is that of the tile's first query.
template <class T, class Out>
void give_rows(const ChunkScratch<T>& scratch, int64_t count, const Heads& heads, Out* first, int64_t stride) {
    const int64_t dim = heads.head_dim, group = heads.group(), rows = count * group;
    for (int64_t start = 0; start < rows; start += LANES) {
        foresee_rows(first, stride, dim, group, start + LANES, rows);
        const float* panel = scratch.out + start / PANEL * PANEL * scratch.width + start % PANEL;
        const Vec share = 1.0f / load(scratch.totals + start);
        for (int64_t i = 0; i < dim; i += LANES) {
            Bits each[LANES];
            for (int64_t d = 0; d < LANES; d++) each[d] = (Bits)(load(panel + (i + d) * PANEL) * share);
            transpose(each);
            for (int64_t row = start; row < std::min(start + LANES, rows); row++)
                store_some(first + row / group * stride + row % group * dim + i, (Vec)each[row - start], dim - i);
        }
    }
}

}  // namespace baton
