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

constexpr int AHEAD = 4096;
constexpr int64_t LEFT_BYTES = 384 << 10;  // of the left side, kept in a core's second-level cache

// One tile's sums on their way to a member's `finish`.
template <class Finish>
struct Tile {
    const Finish& finish;
    int64_t row, panel;
    const float* bias;
    void operator()(int64_t r, Vec low, Vec high) const {
        if (bias) low += load(bias), high += load(bias + LANES);
        finish(row + r, panel, low, high);
    }
};

// Calls finish(row, panel, low, high) with 32 sums (bias added) for every row and panel of this member's share;
// finish.place(row, panel) is where they will go, which is asked for while they are made.
template <class W, class A, class Finish>
void linear(Team& team, int member, const A* left, int64_t stride, int64_t rows, const Linear& weight, const Finish& finish) {
    const int64_t count = weight.num_panels();
    const int64_t first = count * member / team.size, end = count * (member + 1) / team.size;
    const int64_t block = std::max<int64_t>(1, LEFT_BYTES / (weight.depth * sizeof(A)) / TILE_ROWS) * TILE_ROWS;
    for (int64_t start = 0; start < rows; start += block) {
        const int64_t stop = std::min(rows, start + block);
        for (int64_t p = first; p < end; p++) {
            const W* panel = (const W*)weight.panels + p * weight.depth * PANEL;
            for (int64_t row = start, tile; row < stop; row += tile) {
                const int64_t left_over = stop - row, tiles = (left_over + TILE_ROWS - 1) / TILE_ROWS;
                tile = (left_over + tiles - 1) / tiles;  // 8 and 8 rather than 12 and 4: short tiles wait on themselves
                for (int64_t r = 0; r < tile; r++) __builtin_prefetch(finish.place(row + r, p), 1);
                const Tile<Finish> to{finish, row, p, weight.bias ? weight.bias + p * PANEL : nullptr};
                if (row == start)
                    multiply_rows<AHEAD>(tile, left + row * stride, stride, panel, weight.depth, to);
                else
                    multiply_rows<0>(tile, left + row * stride, stride, panel, weight.depth, to);
            }
        }
    }
}

}  // namespace baton
