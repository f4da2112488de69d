// Products with packed weights. Packing happens once, at load; a product reads the packed bytes once, in order.
#pragma once

#include <algorithm>

#include "team.h"
#include "tile.h"

namespace baton {

// A weight [columns, depth] as panels of 32 columns. Paired: a panel holds 16 columns of the first half and their 16
// partners of the second, so that a gate meets what it gates in registers.
struct Linear {
    int64_t columns;  // as stored, both halves together
    int64_t depth;    // even for bfloat16
    const void* panels;
    const float* bias;  // in panel order, or null
    int64_t paired;

    int64_t num_panels() const {
        return paired ? (columns / 2 + LANES - 1) / LANES : (columns + PANEL - 1) / PANEL;
    }
};

template <class W>
void pack(const W* weight, const Linear& shape, W* panels) {
    const int64_t step = depth_step<W>(), half = shape.columns / 2;
    for (int64_t p = 0; p < shape.num_panels(); p++) {
        W* panel = panels + p * shape.depth * PANEL;
        for (int64_t c = 0; c < PANEL; c++) {
            int64_t column = p * PANEL + c, end = shape.columns;
            if (shape.paired) {
                column = p * LANES + c % LANES + (c >= LANES ? half : 0);
                end = c >= LANES ? shape.columns : half;
            }
            const W* source = column < end ? weight + column * shape.depth : nullptr;
            for (int64_t k = 0; k < shape.depth; k++)
                panel[(k / step * PANEL + c) * step + k % step] = source ? source[k] : W{};
        }
    }
}

constexpr int64_t AHEAD = 8192;
constexpr int64_t PIECES = 4;  // of a product, for every member of a team
constexpr int64_t LEFT_BYTES = 768 << 10;  // of the left side, kept in a core's second-level cache

// While a panel's only tile is computed, what lies a little further on is asked for; where there are several, the next
// panel is, half of it with each of the first two, so that memory is asked steadily.
inline Ahead ahead_of(const void* panel, int64_t bytes, int64_t tile, int64_t tiles, int64_t steps) {
    const int64_t pace = bytes / steps;  // two lines
    if (tiles == 1) return {(const char*)panel + AHEAD, pace, pace / 2};
    if (tile > 1) return nothing(panel);
    return {(const char*)panel + bytes + tile * bytes / 2, pace / 2, 0};
}

// A phase of the team's run. finish.tile(row, panel, bias) is where a tile's sums go, which is asked for while they are
// made; then finish.done(row, rows, panel). Every member has a `finish` of its own.
template <class W, class A, class Finish>
void linear(Team& team, int member, const A* left, int64_t stride, int64_t rows, const Linear& weight, Finish finish) {
    const int64_t count = weight.num_panels(), bytes = weight.depth * PANEL * sizeof(W);
    const int64_t pieces = team.size == 1 ? 1 : std::min(count, PIECES * team.size);
    const int64_t most = std::max<int64_t>(1, LEFT_BYTES / (weight.depth * sizeof(A)) / TILE_ROWS) * TILE_ROWS;
    const int64_t blocks = (rows + most - 1) / most;  // each reads all weights of its piece: none is to be a small rest
    team.share(member, pieces, [&](int64_t piece) {
        const int64_t first = count * piece / pieces, end = count * (piece + 1) / pieces;
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t start = rows * block / blocks, stop = rows * (block + 1) / blocks;
            const int64_t tiles = (stop - start + TILE_ROWS - 1) / TILE_ROWS;
            for (int64_t p = first; p < end; p++) {
                const W* panel = (const W*)weight.panels + p * weight.depth * PANEL;
                int64_t row = start;
                for (int64_t index = 0; index < tiles; index++) {
                    // 8 and 8 rather than 12 and 4: short tiles wait on themselves
                    const int64_t even = (stop - row + tiles - index - 1) / (tiles - index);
                    const int64_t tile = std::min(stop - row, TILE_ROWS > 4 ? round_up(even, 2) : even);
                    const auto to = finish.tile(row, p, weight.bias ? weight.bias + p * PANEL : nullptr);
                    for (int64_t r = 0; r < tile; r++) {  // two lines of floats
                        __builtin_prefetch(to.to + r * to.stride, 1);
                        __builtin_prefetch(to.to + r * to.stride + LANES, 1);
                    }
                    multiply_rows(tile, left + row * stride, stride, panel, weight.depth,
                                  ahead_of(panel, bytes, index, tiles, weight.depth / depth_step<W>()), to);
                    finish.done(row, tile, p);
                    row += tile;
                }
            }
        }
    });
}

}  // namespace baton

extern "C" {

// out[rows][columns] = left[rows][depth] x weight; not for paired weights. `best` and `peaks` may be null; otherwise they
// get the column and the value of each row's highest entry, and a row may have a mask: entries with a 0 in it become
// minus infinity.
void baton_linear(baton::Team* team, int64_t dtype, const void* left, int64_t stride, int64_t rows,
                  const baton::Linear* weight, float* out, int64_t* best, float* peaks,
                  const uint32_t* const* masks);
}
