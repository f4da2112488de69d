// Attention of many new tokens of one sequence over all it has so far, in tiles that stay in a core's cache. The query
// heads of one KV head are the lanes of one tile. Scores become weights while they are in registers, relative to a base
// that is a lane's own: its maximum when it was last raised, which it is only when weights would grow too large. What a
// lane finds depends on its query and the tokens it sees alone, in strips that begin where the sequence does.
#pragma once

#include "chunk_panels.h"

namespace baton {

constexpr float LOWEST = -1e29f;  // below any score, and above what is hidden
constexpr float ROOM = 32;        // what scores may exceed their base by: sums stay far from where floats end

// One panel of a tile's queries.
template <class P>
struct Lanes {
    const P* queries;
    const int32_t* places;
    float *bases, *totals, *out;
    int64_t oldest, newest;  // of the places
};

// A lane sees tokens up to its place, and no more of them than the window holds. Tokens begin with `token`.
inline void hide_unseen(Vec (&scores)[STRIP], const int32_t* places, int64_t token, int64_t window) {
    Ints place;
    std::memcpy(&place, places, sizeof place);
    for (int s = 0; s < STRIP; s++) {
        const Ints back = place - (int32_t)(token + s);
        scores[s] = back < 0 ? splat(HIDDEN) : scores[s];
        if (window) scores[s] = back >= (int32_t)window ? splat(HIDDEN) : scores[s];
    }
}

inline Vec most_of(const Vec (&scores)[STRIP]) {
    Vec most = scores[0];
#pragma GCC unroll 8
    for (int s = 1; s < STRIP; s++) most = larger(scores[s], most);
    return most;
}

// Lanes whose scores have grown beyond their room get these as a base; what they have found shrinks with it.
inline void raise(const Vec& most, float* base, float* total, float* out, int64_t width, bool rough) {
    const Vec before = load(base);
    const auto grown = most > before + ROOM;
    const Vec fall = (before - most) * (rough ? 1 / LOG2_E : 1);
    const Vec shrink = grown ? exponential(fall) : splat(1);
    store(base, grown ? most : before);
    store(total, load(total) * shrink);
    for (int64_t i = 0; i < width; i++) store(out + i * PANEL, load(out + i * PANEL) * shrink);
}

// Weights of tokens [begin, end) of the tile that begins with `token`; begin and end are those of strips. Ends before a
// strip for which bases have to be raised, other than the first: what is weighed already must be summed up before.
template <class P>
__attribute__((noinline)) int64_t weigh(const Lanes<P>& lanes, const P* keys, int64_t token, int64_t begin, int64_t end,
                                        int64_t depth, int64_t width, int64_t window, P* weights) {
    constexpr bool rough = sizeof(P) == 2;
    constexpr int64_t step = rough ? 2 : 1;
    const int64_t seen_by_all = first_visible(lanes.newest, window) - token;
    Vec total[2] = {load(lanes.totals), load(lanes.totals + LANES)};
    for (int64_t k = begin; k < end; k += STRIP) {
        Vec scores[2][STRIP] = {};
        const P* strip = keys + k * depth;
        accumulate<STRIP>(LeftRows<P>{strip, depth, 1, strip + (STRIP - 1) * depth}, lanes.queries, depth, NotAhead{},
                          scores[0], scores[1]);
        if (token + k + STRIP - 1 > lanes.oldest || k < seen_by_all)
            for (int half = 0; half < 2; half++)
                hide_unseen(scores[half], lanes.places + half * LANES, token + k, window);
        const Vec most[2] = {most_of(scores[0]), most_of(scores[1])};
        if (any_beyond(most[0], load(lanes.bases) + ROOM) || any_beyond(most[1], load(lanes.bases + LANES) + ROOM)) {
            store(lanes.totals, total[0]), store(lanes.totals + LANES, total[1]);
            if (k > begin) return k;
            for (int64_t half = 0; half < PANEL; half += LANES)
                raise(most[half / LANES], lanes.bases + half, lanes.totals + half, lanes.out + half, width, rough);
            total[0] = load(lanes.totals), total[1] = load(lanes.totals + LANES);
        }
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const Vec base = load(lanes.bases + half * LANES);
            Vec strip_total = {};
#pragma GCC unroll 8
            for (int s = 0; s < STRIP; s += 2) {
                const Vec first = scores[half][s] - base, second = scores[half][s + 1] - base;
                const Vec one = rough ? rough_power(first) : exponential(first);
                const Vec two = rough ? rough_power(second) : exponential(second);
                strip_total += one + two;
                store_pairs(weights + (k + s) * PANEL + half * LANES * step, one, two, PANEL);
            }
            total[half] += strip_total;
        }
    }
    store(lanes.totals, total[0]), store(lanes.totals + LANES, total[1]);
    return end;
}

// out[dim][PANEL] += values x weights, of `count` tokens.
template <class P>
__attribute__((noinline)) void add_values(const P* values, int64_t dim, int64_t width, const P* weights, int64_t count,
                                          float* out) {
    constexpr int64_t step = sizeof(P) == 2 ? 2 : 1;
    for (int64_t i = 0; i < dim; i += STRIP, values += STRIP * step, out += STRIP * PANEL) {
        Vec low[STRIP], high[STRIP];
#pragma GCC unroll 8
        for (int row = 0; row < STRIP; row++) low[row] = load(out + row * PANEL), high[row] = load(out + row * PANEL + LANES);
        accumulate<STRIP>(LeftRows<P>{values, step, width, values + (STRIP - 1) * step}, weights, count, NotAhead{}, low, high);
#pragma GCC unroll 8
        for (int row = 0; row < STRIP; row++) store(out + row * PANEL, low[row]), store(out + row * PANEL + LANES, high[row]);
    }
}

// Queries [first, first + count) of the sequence, for one KV head. Rows of `qkv` are the sequence's new tokens, whose KV
// is written; `position` is the first row's. Results go to rows of `out`.
template <class T, class Out>
void attend_tile(const float* qkv, int64_t stride, int64_t first, int64_t count, int64_t position, int64_t kv_head,
                 const Heads& heads, const Cache<T>& cache, const int64_t* table, ChunkScratch<T>& scratch, Out* out,
                 int64_t out_stride) {
    using P = Panel<T>;
    const int64_t depth = scratch.depth, width = scratch.width, window = heads.window;
    const int64_t lanes = round_up(count * heads.group(), PANEL), own = kv_head * heads.group() * heads.head_dim;
    const int64_t end = position + first + count;
    const float scale = heads.scale * (sizeof(P) == 2 ? LOG2_E : 1);
    take_queries(qkv + first * stride + own, stride, count, position + first, scale, heads, scratch);
    std::fill_n(scratch.bases, lanes, LOWEST);
    std::fill_n(scratch.totals, lanes, 0.0f);
    std::fill_n(scratch.out, lanes * width, 0.0f);
    for (int64_t from = first_visible(position + first, window) / STRIP * STRIP; from < end; from += KEYS) {
        const int64_t to = std::min(end, from + KEYS);
        take_tile(cache, table, kv_head, from, to, scratch);
        for (int64_t lane = 0; lane < lanes; lane += PANEL) {
            const int32_t* places = scratch.places + lane;
            const auto [oldest, newest] = std::minmax_element(places, places + PANEL);
            const Lanes<P> panel{scratch.queries + lane * depth, places,  scratch.bases + lane, scratch.totals + lane,
                                 scratch.out + lane * width,     *oldest, *newest};
            const int64_t seen = round_up(std::min<int64_t>(to, *newest + 1) - from, STRIP);
            for (int64_t done = std::max<int64_t>(0, first_visible(*oldest, window) - from) / STRIP * STRIP; done < seen;) {
                const int64_t begin = done;
                done = weigh(panel, scratch.keys, from, begin, seen, depth, width, window, scratch.weights);
                add_values(scratch.values + begin * width, heads.head_dim, width, scratch.weights + begin * PANEL,
                           done - begin, panel.out);
            }
        }
    }
    give_rows(scratch, count, heads, out + first * out_stride + own, out_stride);
}

}  // namespace baton
