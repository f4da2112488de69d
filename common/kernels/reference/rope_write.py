"""Norms and rotates queries and keys, and writes keys and values to their slots."""

import torch

from common.kernels.batch import Batch
from common.kernels.reference.fp8 import FP8, quantise
from common.kernels.reference.rms_norm import rms_norm


def rope_write(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    cache: torch.Tensor,
    batch: Batch,
    qk_norm: torch.Tensor | None,
    eps: float,
) -> torch.Tensor:
    """Returns the queries `[T, heads, D]`, a view of `qkv`, which is overwritten.

    KV is written in the pool's type; one of eight bits keeps the nearest number it has.

    `qkv` is `[T, (heads + 2 kv_heads) D]`; `cos` and `sin` `[T, D / 2]` float32, of each token's position; `cache` one
    layer of the pool, `[blocks, 2, kv_heads, block_tokens, D]`; `qk_norm` `[2, D]` for families that norm each head.
    """
    num_kv_heads, head_dim = cache.shape[2], cache.shape[4]
    heads = qkv.view(len(qkv), -1, head_dim)
    num_heads = heads.shape[1] - 2 * num_kv_heads
    query, rotated = heads[:, :num_heads], heads[:, : num_heads + num_kv_heads]
    if qk_norm is not None:
        query.copy_(rms_norm(query, qk_norm[0], eps))
        key = rotated[:, num_heads:]
        key.copy_(rms_norm(key, qk_norm[1], eps))
    first, second = rotated.float().chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    rotated.copy_(torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1))
    written = heads[:, num_heads:].reshape(len(heads), 2, num_kv_heads, head_dim)
    if cache.dtype == FP8:  # bits: torch writes no e4m3 to places
        cache, written = cache.view(torch.uint8), quantise(written, 1.0).view(torch.uint8)
    cache[batch.slot_blocks, :, :, batch.slot_offsets] = written.to(cache.dtype)
    return query
