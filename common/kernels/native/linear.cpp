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

    void look(const float* sums, int64_t first, int64_t count) {
        if (count < PANEL) {
            for (int64_t i = 0; i < count; i++) see(sums[i], first + i);
            return;
        }
        const Vec low = load(sums), high = load(sums + LANES);
        if (has_nan(low) || has_nan(high)) value = std::nanf("");
        const float most = max(larger(low, high));
        if (!(most > value)) return;
        value = most;
        for (column = first; sums[column - first] != most;) column++;
    }

    void see(float sum, int64_t at) {
        if (sum != sum || value != value)
            value = std::nanf("");
        else if (sum > value)
            value = sum, column = at;
    }
};

// `best` and `peaks` may be null; otherwise they get the column and the value of each row's highest entry.
template <class W>
void product(Team& team, const void* left, int64_t stride, int64_t rows, const Linear& weight, float* out,
             int64_t* best, float* peaks) {
    using A = typename Left<W>::Type;
    std::vector<Best> found(best ? team.size * rows : 0);
    team.run([&](int member) {
        linear<W>(team, member, (const A*)left, stride, rows, weight, [&](int64_t row, int64_t p, const float* sums) {
            const int64_t count = std::min(PANEL, weight.columns - p * PANEL);
            std::memcpy(out + row * weight.columns + p * PANEL, sums, count * sizeof(float));
            if (best) found[member * rows + row].look(sums, p * PANEL, count);
        });
    });
    for (int64_t row = 0; best && row < rows; row++) {
        Best whole;
        for (int member = 0; member < team.size; member++) {  // in the order of their columns
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

// out[rows][columns] = left[rows][depth] x weight; not for paired weights. `best` and `peaks` as for a product.
void baton_linear(baton::Team* team, int64_t dtype, const void* left, int64_t stride, int64_t rows,
                  const baton::Linear* weight, float* out, int64_t* best, float* peaks) {
    using namespace baton;
    if (dtype == FLOAT32)
        product<float>(*team, left, stride, rows, *weight, out, best, peaks);
    else if (dtype == BFLOAT16)
        product<Bf16>(*team, left, stride, rows, *weight, out, best, peaks);
    else
        product<Fp16>(*team, left, stride, rows, *weight, out, best, peaks);
}
}
