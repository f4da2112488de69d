"""Attention of a whole prompt over itself alone, by the best of the installed torch's own kernels.

Nothing is read from the pool: the step's keys and values are still where the projection left them.
"""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

# In order of preference; torch passes over those that cannot take the shapes at hand. cuDNN's kernel is the fastest,
# but torch plans it anew for every length, which others measured as tens of milliseconds of the host, and prompts come
# in all lengths. The flash kernel costs a prompt a few hundredths of its time. `loadtest.gpu.dense_rows` measures both.
BACKENDS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def dense_attention(query: torch.Tensor, key_value: torch.Tensor, scale: float) -> torch.Tensor:
    """`[T, heads, D]` over `[T, 2, kv_heads, D]` of the same tokens, causal `-> [T, heads, D]`."""
    key, value = (part.transpose(0, 1)[None] for part in key_value.unbind(1))
    with sdpa_kernel(BACKENDS, set_priority=True):
        out = scaled_dot_product_attention(
            query.transpose(0, 1)[None], key, value, is_causal=True, scale=scale, enable_gqa=True
        )
    return out[0].transpose(0, 1)
