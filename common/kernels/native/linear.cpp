// Packing a weight, and one product on its own: the logits, and the best of each row while they are in registers.
#include <cmath>
#include <limits>
#include <vector>

#include "stack.h"

namespace baton {

// The highest entry of a row so far, the first among equals; not a number once one of them was not.
struct Best {
    float value = -std::numeric_limits<float>::infinity();
    int64_t column = 0;

    void look(Vec low, Vec high, int64_t first, int64_t count) {
        const auto at = [&](int64_t i) { return i < LANES ? low[i] : high[i - LANES]; };
        if (count < PANEL) {
            for (int64_t i = 0; i < count; i++) see(at(i), first + i);
            return;
        }
        if (has_nan(low) || has_nan(high)) value = std::nanf("");
        const float most = max(larger(low, high));
        if (!(most > value)) return;
        value = most;
        for (column = first; at(column - first) != most;) column++;
    }

    void see(float sum, int64_t at) {
        if (sum != sum || value != value)
            value = std::nanf("");
        else if (sum > value || (sum == value && at < column))
            value = sum, column = at;
    }
};

struct Logits {
    float* out;
    int64_t columns;
    Best* found;                   // of each row, or null
    const uint32_t* const* masks;  // of each row a bit per column, or null; or null altogether
    alignas(64) float sums[TILE_ROWS * PANEL];

    static_assert(PANEL == 32);
    Store tile(int64_t, int64_t, const float* bias) { return {sums, PANEL, bias}; }
    void done(int64_t row, int64_t rows, int64_t p) const {
        const int64_t first = p * PANEL, count = std::min(PANEL, columns - first);
        for (int64_t r = 0; r < rows; r++) {
            const float* own = sums + r * PANEL;
            Vec low = load(own), high = load(own + LANES);
            float* to = out + (row + r) * columns + first;
            if (masks && masks[row + r]) {  // what can be nobody's best counts wherever it stands
                if (has_peak_beyond(low) || has_peak_beyond(high)) found[row + r].value = std::nanf("");
                low = only_open(low, masks[row + r][p]), high = only_open(high, masks[row + r][p] >> LANES);
            }
            store_some(to, low, count);
            if (count > LANES) store_some(to + LANES, high, count - LANES);
            if (found) found[row + r].look(low, high, first, count);
        }
    }
};

template <class W>
void product(Team& team, const void* left, int64_t stride, int64_t rows, const Linear& weight, float* out,
             int64_t* best, float* peaks, const uint32_t* const* masks) {
    using A = typename Left<W>::Type;
    std::vector<Best> found(best ? team.size * rows : 0);
    team.run([&](int member) {
        const Logits logits{out, weight.columns, best ? found.data() + member * rows : nullptr, masks, {}};
        linear<W>(team, member, (const A*)left, stride, rows, weight, logits);
    });
    for (int64_t row = 0; best && row < rows; row++) {
        Best whole;
        for (int member = 0; member < team.size; member++) {
            const Best& part = found[member * rows + row];
            whole.see(part.value, part.column);
        }
        best[row] = whole.column, peaks[row] = whole.value;
    }
}

}  // namespace baton

extern "C" {

int64_t baton_num_panels(const baton::Linear* shape) { return shape->num_panels(); }

void baton_pack(int64_t dtype, const void* weight, const baton::Linear* shape, void* panels) {
    using namespace baton;
    if (dtype == FLOAT32)
        pack((const float*)weight, *shape, (float*)panels);
    else if (dtype == BFLOAT16)
        pack((const Bf16*)weight, *shape, (Bf16*)panels);
    else
        pack((const Fp16*)weight, *shape, (Fp16*)panels);
}

void baton_linear(baton::Team* team, int64_t dtype, const void* left, int64_t stride, int64_t rows,
                  const baton::Linear* weight, float* out, int64_t* best, float* peaks,
                  const uint32_t* const* masks) {
    using namespace baton;
    if (dtype == FLOAT32)
        product<float>(*team, left, stride, rows, *weight, out, best, peaks, masks);
    else if (dtype == BFLOAT16)
        product<Bf16>(*team, left, stride, rows, *weight, out, best, peaks, masks);
    else
        product<Fp16>(*team, left, stride, rows, *weight, out, best, peaks, masks);
}
}
