"""Draws a token from each row of logits on the device, so that none need come to the host before the next step starts.

Owns the way from what rows ask for to the arguments of that kernel. What changes logits first stands in
`device_adjust.py`.
"""

from collections.abc import Sequence

import numpy as np
import torch

from common.engine.plan import SampleRow
from common.engine.stage import Stage
from common.kernels.choosing import Choosing, DeviceDraws
from common.kernels.reference.gumbel import draw_keys

_UINT64 = (1 << 64) - 1


def draw(
    choosing: Choosing,
    logits: torch.Tensor,
    rows: Sequence[SampleRow],
    stage: Stage,
    places: Sequence[int] | None = None,
    ahead: int = 0,
) -> torch.Tensor:
    """[R] int64: row i's token, -1 where it has nothing to choose.

    Row i draws from `logits[places[i]]`, or from its own; `ahead` is 1 for the token after the one it asks for.
    """
    if places is None and all(row.sampling.greedy for row in rows):
        best = logits.argmax(dim=1)
        peaks = logits.gather(1, best[:, None])[:, 0]
        return torch.where(torch.isfinite(peaks), best, -1)
    sources = np.arange(len(rows)) if places is None else np.array(places, dtype=np.int64)
    return choosing.choose_tokens(logits, stage.upload(sources), _draws(rows, stage, ahead))


def _draws(rows: Sequence[SampleRow], stage: Stage, ahead: int) -> DeviceDraws:
    """Everything in two uploads."""
    sampling = [row.sampling for row in rows]
    shares = np.array([[s.temperature for s in sampling], [s.top_p for s in sampling], [s.min_p for s in sampling]])
    keys = draw_keys(
        np.array([s.seed & _UINT64 for s in sampling], dtype=np.uint64),
        np.array([row.choice for row in rows], dtype=np.uint64),
        np.array([row.index + ahead for row in rows], dtype=np.uint64),
    )
    top_k = np.array([s.top_k for s in sampling], dtype=np.int32)
    numbers = stage.upload(np.concatenate([top_k, keys.view(np.int32).reshape(-1)]))
    temperature, top_p, min_p = stage.upload(shares.astype(np.float32))
    return DeviceDraws(temperature, numbers[: len(rows)], top_p, min_p, numbers[len(rows) :].view(-1, 2))
