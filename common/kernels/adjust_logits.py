"""Changes logits on a device before a token is chosen: bias, penalties, entries that must not be chosen.

Every argument is flat: one entry per (row, vocabulary id), so that rows without any cost nothing.
"""

import torch
import triton
import triton.language as tl

from common.kernels.launch import options
from common.kernels.reference.adjust_logits import SeenTokens

_TILE = 128


@triton.jit(do_not_specialize=["num_places"])
def add_bias_kernel(
    logits: tl.tensor,
    rows: tl.tensor,
    ids: tl.tensor,
    values: tl.tensor,
    num_places: tl.tensor,
    logits_stride: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    """Places that are named more than once add up."""
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = place < num_places
    at = tl.load(rows + place, mask=inside, other=0) * logits_stride + tl.load(ids + place, mask=inside, other=0)
    tl.atomic_add(logits + at, tl.load(values + place, mask=inside, other=0.0), mask=inside, sem="relaxed")


@triton.jit(do_not_specialize=["num_places"])
def penalise_kernel(
    logits: tl.tensor,
    rows: tl.tensor,
    ids: tl.tensor,
    num_output: tl.tensor,
    repetition: tl.tensor,
    presence: tl.tensor,
    frequency: tl.tensor,
    num_places: tl.tensor,
    logits_stride: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    """Each place is named once."""
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = place < num_places
    at = tl.load(rows + place, mask=inside, other=0) * logits_stride + tl.load(ids + place, mask=inside, other=0)
    count = tl.load(num_output + place, mask=inside, other=0.0)
    factor = tl.load(repetition + place, mask=inside, other=1.0)
    once = tl.load(presence + place, mask=inside, other=0.0)
    each = tl.load(frequency + place, mask=inside, other=0.0)
    seen = tl.load(logits + at, mask=inside, other=0.0)
    seen = tl.where(seen > 0.0, tl.div_rn(seen, factor), seen * factor)
    seen -= tl.where(count > 0.0, once, 0.0) + each * count
    tl.store(logits + at, seen, mask=inside)


@triton.jit(do_not_specialize=["num_places"])
def exclude_kernel(
    logits: tl.tensor,
    rows: tl.tensor,
    ids: tl.tensor,
    num_places: tl.tensor,
    logits_stride: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = place < num_places
    at = tl.load(rows + place, mask=inside, other=0) * logits_stride + tl.load(ids + place, mask=inside, other=0)
    tl.store(logits + at, float("-inf"), mask=inside)


def add_bias(logits: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor, values: torch.Tensor) -> None:
    """`logits` float32 `[R, V]`; entries that name the same place add up."""
    _launch(add_bias_kernel, logits, rows, ids, values)


def penalise(logits: torch.Tensor, seen: SeenTokens) -> None:
    """Repetition scales a logit away from being chosen, for every token seen; presence and frequency count output."""
    changes = seen.num_output, seen.repetition, seen.presence, seen.frequency
    _launch(penalise_kernel, logits, seen.rows, seen.ids, *changes)


def exclude(logits: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor) -> None:
    """These places become -inf."""
    _launch(exclude_kernel, logits, rows, ids)


def _launch(kernel: triton.JITFunction, logits: torch.Tensor, *lists: torch.Tensor) -> None:
    count = len(lists[0])
    if logits.stride(1) != 1 or any(part.stride(0) != 1 or len(part) != count for part in lists):
        raise ValueError("rows and lists must be without gaps, and the lists of one length")
    if count:
        # as the reference rounds: product and sum each by themselves
        exact = options(warps=4, fuse=False)
        kernel[(triton.cdiv(count, _TILE),)](logits, *lists, count, logits.stride(0), TILE=_TILE, **exact)
