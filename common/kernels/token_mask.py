"""Closes the vocabulary entries that a constraint forbids: a bit for each entry, packed in 32-bit words."""

import torch
import triton
import triton.language as tl

from common.kernels.launch import launch_of


@triton.jit
def token_mask_kernel(
    logits: tl.tensor,
    rows: tl.tensor,
    words: tl.tensor,
    num_entries: tl.tensor,
    num_words: tl.tensor,
    logits_stride: tl.tensor,
    words_stride: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    """A program takes a tile of one constrained row; it writes only what is closed."""
    constrained = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + constrained)
    entries = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = entries < num_entries
    place = words + constrained * words_stride + entries // 32
    word = tl.load(place, mask=inside & (entries // 32 < num_words), other=0)
    closed = inside & (((word >> (entries % 32)) & 1) == 0)
    tl.store(logits + row * logits_stride + entries, float("-inf"), mask=closed)


def token_mask(logits: torch.Tensor, rows: torch.Tensor, words: torch.Tensor) -> None:
    """Sets entries of `logits` `[R, V]` to -inf in place; `rows` `[C]` int64 names the constrained ones.

    Bit `i % 32` of `words[c, i // 32]` (int32) opens entry `i` of `rows[c]`. Entries beyond the words are closed.
    """
    if logits.stride(1) != 1 or words.stride(1) != 1 or rows.stride(0) != 1:
        raise ValueError("the elements of a row must lie side by side")
    launch = launch_of("token_mask", logits.device)
    if len(rows):
        token_mask_kernel[(len(rows), triton.cdiv(logits.shape[1], launch.tile))](
            *(logits, rows, words, logits.shape[1], words.shape[1], logits.stride(0), words.stride(0)),
            TILE=launch.tile,
            **launch.options,
        )
