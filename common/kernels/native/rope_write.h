// Norms and rotates queries and keys, and writes keys and values to their slots.
#pragma once

#include "pool.h"
#include "rms_norm.h"

namespace baton {

// One head of one token; `norm` is null where a family has none. In place.
inline void rotate(float* head, const Heads& heads, const float* norm, int64_t position) {
    const int64_t half = heads.head_dim / 2;
    if (norm) rms_norm(head, norm, heads.head_dim, heads.eps, head);
    const float *cos = heads.cos + position * half, *sin = heads.sin + position * half;
    for (int64_t i = 0; i < half; i += LANES) {
        const int64_t rest = half - i;
        const Vec first = load_some(head + i, rest), second = load_some(head + i + half, rest);
        const Vec x = load_some(cos + i, rest), y = load_some(sin + i, rest);
        store_some(head + i, first * x - second * y, rest);
        store_some(head + i + half, second * x + first * y, rest);
    }
}

inline void rotate_query(float* head, const Heads& heads, int64_t position) {
    rotate(head, heads, heads.qk_norm, position);
}

// `qkv` is a token's row: queries, keys, values. Its key of this KV head is rotated in place.
template <class T>
void write_kv(float* qkv, const Heads& heads, const Cache<T>& cache, int64_t kv_head, const Batch& batch, int64_t token) {
    const int64_t dim = heads.head_dim;
    float* key = qkv + (heads.num_heads + kv_head) * dim;
    const float* value = key + heads.num_kv_heads * dim;
    rotate(key, heads, heads.qk_norm ? heads.qk_norm + dim : nullptr, batch.positions[token]);
    T* key_slot = cache.key(batch.slot_blocks[token], kv_head, batch.slot_offsets[token]);
    T* value_slot = cache.value(batch.slot_blocks[token], kv_head, batch.slot_offsets[token]);
    for (int64_t i = 0; i < dim; i += LANES) {
        store_some(key_slot + i, load_some(key + i, dim - i), dim - i);
        store_some(value_slot + i, load_some(value + i, dim - i), dim - i);
    }
}

}  // namespace baton
