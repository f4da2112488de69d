"""Attention of a whole prompt over itself alone."""

import torch


def dense_attention(query: torch.Tensor, key_value: torch.Tensor, scale: float) -> torch.Tensor:
    """`[T, heads, D]` over `[T, 2, kv_heads, D]` of the same tokens, causal `-> [T, heads, D]`."""
    group = query.shape[1] // key_value.shape[2]
    key, value = key_value.float().repeat_interleave(group, dim=2).unbind(1)
    scores = torch.einsum("qhd,khd->hqk", query.float(), key) * scale
    hidden = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device).triu(1)
    shares = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", shares, value).to(query.dtype)
