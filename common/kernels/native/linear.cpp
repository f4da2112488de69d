// Packing a weight, and one product on its own: the logits.
#include "stack.h"

namespace baton {

template <class W>
void product(Team& team, const void* left, int64_t stride, int64_t rows, const Linear& weight, float* out) {
    using A = typename Left<W>::Type;
    team.run([&](int member) {
        linear<W>(team, member, (const A*)left, stride, rows, weight, [&](int64_t row, int64_t p, const float* sums) {
            const int64_t count = std::min(PANEL, weight.columns - p * PANEL);
            std::memcpy(out + row * weight.columns + p * PANEL, sums, count * sizeof(float));
        });
    });
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

// out[rows][columns] = left[rows][depth] x weight; not for paired weights.
void baton_linear(baton::Team* team, int64_t dtype, const void* left, int64_t stride, int64_t rows,
                  const baton::Linear* weight, float* out) {
    using namespace baton;
    if (dtype == FLOAT32)
        product<float>(*team, left, stride, rows, *weight, out);
    else if (dtype == BFLOAT16)
        product<Bf16>(*team, left, stride, rows, *weight, out);
    else
        product<Fp16>(*team, left, stride, rows, *weight, out);
}
}
