"""Attention of packed queries over keys and values that lie in blocks."""

import torch
from torch.nn import functional

from common.kernels.reference.reach import Chunk, DecodeGroup, Reach, head_rows


def paged_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    reach: Reach,
    scale: float,
    fresh: torch.Tensor | None = None,
) -> torch.Tensor:
    """`[T, heads, D] -> [T, heads * D]`; `cache` is one layer of the pool, `[blocks, 2, kv_heads, block_tokens, D]`.

    `fresh`, `[T, 2, kv_heads, D]`, are this step's keys and values as they were written: a faster way to them for
    whoever wants it. Here all are read from the pool.
    """
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    keys, values = head_rows(cache[:, 0]), head_rows(cache[:, 1])
    shape = cache.shape[2], -1, cache.shape[4]
    for group in reach.groups:
        out[group.rows] = _attend_group(query[group.rows], keys, values, shape, group, scale)
    for chunk in reach.chunks:
        out[chunk.rows] = _attend_chunk(query[chunk.rows], keys, values, shape, chunk, scale)
    return out.flatten(1)


def _attend_group(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    shape: tuple[int, int, int],
    group: DecodeGroup,
    scale: float,
) -> torch.Tensor:
    """Heads that share a KV head become the rows of one small matrix, so keys are read once for all of them."""
    rows, num_heads, head_dim = query.shape
    num_kv_heads = shape[0]

    def gather(source: torch.Tensor) -> torch.Tensor:
        tokens = functional.embedding(group.gather, source).view(-1, head_dim)
        if group.hidden is not None:
            # a mask cannot undo a NaN: 0 * NaN is NaN
            tokens.index_fill_(0, group.hidden, 0.0)
        return tokens.view(rows, *shape)

    packed = query.reshape(rows, num_kv_heads, num_heads // num_kv_heads, head_dim)
    out = functional.scaled_dot_product_attention(
        packed, gather(keys), gather(values), attn_mask=group.mask, scale=scale
    )
    return out.reshape(query.shape)


def _attend_chunk(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    shape: tuple[int, int, int],
    chunk: Chunk,
    scale: float,
) -> torch.Tensor:
    def gather(source: torch.Tensor) -> torch.Tensor:
        return functional.embedding(chunk.gather, source).view(1, *shape)[:, :, : chunk.num_tokens]

    out = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        gather(keys),
        gather(values),
        attn_mask=chunk.mask,
        is_causal=chunk.mask is None,
        scale=scale,
        enable_gqa=True,
    )
    return out[0].transpose(0, 1)
