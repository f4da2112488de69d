// What a decoder is made of, as pointers. The memory belongs to whoever built it. The order of fields is known to
// `structs.py`.
#pragma once

#include "linear.h"
#include "pool.h"

namespace baton {

enum Dtype : int64_t { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };

struct Layer {
    const float* attention_norm;
    const float* mlp_norm;
    const float* qk_norm;  // or null
    int64_t window;        // 0: none
    Linear qkv, o, gate_up, down;
};

struct Model {
    int64_t dtype, num_layers, hidden, inner, num_heads, num_kv_heads, head_dim, vocab;
    float eps, scale;
    const Layer* layers;
    const float* norm;
    const void* embedding;  // [vocab, hidden]
    const float* cos;
    const float* sin;
    int64_t num_positions;
};

// All layers' blocks; strides count entries.
struct Pool {
    void* kv;
    int64_t num_blocks, block_stride, layer_stride, kv_stride, head_stride, block_tokens;
};

}  // namespace baton
