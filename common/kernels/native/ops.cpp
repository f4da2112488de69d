// Each op of a layer on its own, to be checked against its reference and measured.
#include "attention.h"
#include "silu_mul.h"
#include "stack.h"

namespace baton {

template <class T>
void attend_once(Team& team, float* qkv, int64_t stride, const Batch& batch, const Heads& heads, const Pool& pool,
                 void* out, int64_t out_stride) {
    using A = typename Left<T>::Type;
    const Cache<T> cache{(T*)pool.kv,      pool.block_stride, pool.kv_stride,
                         pool.head_stride, pool.block_tokens, heads.head_dim};
    const Agenda agenda(batch, heads, false, 0, batch.num_tokens, 0);
    AttentionScratch<T> scratch;
    scratch.grow(agenda.num_parts, heads, team.size);
    team.run([&](int member) {
        prepare(team, member, qkv, stride, batch, heads, cache, agenda, 0, batch.num_tokens);
        attend(team, member, qkv, stride, batch, heads, cache, agenda, scratch, (A*)out, out_stride);
    });
}

template <class T>
void norm_rows(const float* x, int64_t stride, int64_t rows, const float* weight, int64_t count, float eps, void* out) {
    using A = typename Left<T>::Type;
    for (int64_t row = 0; row < rows; row++) rms_norm(x + row * stride, weight, count, eps, (A*)out + row * count);
}

}  // namespace baton

extern "C" {

// Norms and rotates what `qkv` holds, writes KV, attends. `out` is bfloat16 for such a pool, otherwise float.
void baton_attend(baton::Team* team, int64_t dtype, float* qkv, int64_t stride, const baton::Batch* batch,
                  const baton::Heads* heads, const baton::Pool* pool, void* out, int64_t out_stride) {
    using namespace baton;
    if (dtype == FLOAT32)
        attend_once<float>(*team, qkv, stride, *batch, *heads, *pool, out, out_stride);
    else if (dtype == BFLOAT16)
        attend_once<Bf16>(*team, qkv, stride, *batch, *heads, *pool, out, out_stride);
    else
        attend_once<Fp16>(*team, qkv, stride, *batch, *heads, *pool, out, out_stride);
}

void baton_rms_norm(int64_t dtype, const float* x, int64_t stride, int64_t rows, const float* weight, int64_t count,
                    float eps, void* out) {
    using namespace baton;
    if (dtype == BFLOAT16)
        norm_rows<Bf16>(x, stride, rows, weight, count, eps, out);
    else
        norm_rows<float>(x, stride, rows, weight, count, eps, out);
}

// out[i] = a gate's silu times what it gates.
void baton_silu_mul(const float* gate, const float* up, int64_t count, float* out) {
    using namespace baton;
    for (int64_t i = 0; i < count; i += LANES)
        store_some(out + i, silu_mul(load_some(gate + i, count - i), load_some(up + i, count - i)), count - i);
}
}
