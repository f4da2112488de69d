"""Closes the vocabulary entries that a constraint forbids."""

import torch


def token_mask(logits: torch.Tensor, rows: torch.Tensor, words: torch.Tensor) -> None:
    """Sets entries of `logits` `[R, V]` to -inf in place; `rows` `[C]` int64 names the constrained ones.

    Bit `i % 32` of `words[c, i // 32]` (int32) opens entry `i` of `rows[c]`. Entries beyond the words are closed.
    """
    bits = torch.arange(32, dtype=torch.int32, device=words.device)
    opened = (words[:, :, None] >> bits & 1).flatten(1).bool()
    closed = torch.ones(len(rows), logits.shape[1], dtype=torch.bool, device=logits.device)
    width = min(opened.shape[1], logits.shape[1])
    closed[:, :width] = ~opened[:, :width]
    logits[rows] = logits[rows].masked_fill(closed, -torch.inf)
