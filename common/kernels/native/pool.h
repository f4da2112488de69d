// One layer of the KV pool, and which of its slots the sequences of a step own. Strides count entries.
#pragma once

#include <algorithm>

#include "vectors.h"

namespace baton {

template <class T>
struct Cache {
    T* first;  // key of head 0, token 0, block 0
    int64_t block_stride, kv_stride, head_stride;
    int64_t block_tokens, head_dim;

    T* key(int64_t block, int64_t head, int64_t offset) const {
        return first + block * block_stride + head * head_stride + offset * head_dim;
    }
    T* value(int64_t block, int64_t head, int64_t offset) const { return key(block, head, offset) + kv_stride; }
};

// T tokens of S sequences, packed end to end; the first `num_decode` sequences have one token each.
struct Batch {
    int64_t num_tokens, num_sequences, num_decode;
    const int64_t* token_ids;     // [T]
    const int64_t* positions;     // [T]
    const int64_t* slot_blocks;   // [T]
    const int64_t* slot_offsets;  // [T]
    const int64_t* query_starts;  // [S + 1]
    const int64_t* kv_lens;       // [S]
    const int64_t* block_tables;  // [S, table_stride]
    int64_t table_stride;
    int64_t num_wanted;
    const int64_t* wanted;  // rows whose last hidden state is wanted, ascending; null: all of them

    // The first wanted row from `row` on, or `num_tokens`.
    int64_t next_wanted(int64_t row) const {
        if (!wanted) return row;
        const int64_t* found = std::lower_bound(wanted, wanted + num_wanted, row);
        return found < wanted + num_wanted ? *found : num_tokens;
    }
};

// The heads of a model's attention.
struct Heads {
    int64_t num_heads, num_kv_heads, head_dim;
    int64_t window;  // 0: none
    float scale;
    float eps;
    const float* qk_norm;  // [2, head_dim], or null
    const float* cos;      // [positions, head_dim / 2]
    const float* sin;

    int64_t group() const { return num_heads / num_kv_heads; }
};

}  // namespace baton
