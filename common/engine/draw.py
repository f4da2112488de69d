"""Chooses tokens on the device, so that they need not come to the host before the next step can be launched.

Serves rows that ask for the best token or for a draw from their logits as they are. Whatever reads a row's history, is
constrained, or wants log probabilities is the host's business (`sampler.py`).
"""

from collections.abc import Sequence

import numpy as np
import torch

from common.engine.adjust import is_adjusted
from common.engine.plan import SampleRow
from common.engine.stage import Stage
from common.kernels.choosing import DeviceDraws, chooser
from common.kernels.reference.gumbel import draw_keys

_UINT64 = (1 << 64) - 1


def is_plain(row: SampleRow) -> bool:
    """Whether a row is chosen from its logits as they are, and nothing else of them is wanted."""
    sampling = row.sampling
    if sampling.plain:
        return True
    return sampling.logprobs is None and sampling.constraint is None and not is_adjusted(row)


def draw(
    logits: torch.Tensor, rows: Sequence[SampleRow], stage: Stage, places: Sequence[int] | None = None, ahead: int = 0
) -> torch.Tensor:
    """[R] int64: row i's token, -1 where it has nothing to choose. All rows are plain ones.

    Row i draws from `logits[places[i]]`, or from its own; `ahead` is 1 for the token after the one it asks for.
    """
    if places is None and all(row.sampling.greedy for row in rows):
        best = logits.argmax(dim=1)
        peaks = logits.gather(1, best[:, None])[:, 0]
        return torch.where(torch.isfinite(peaks), best, -1)
    sources = np.arange(len(rows)) if places is None else np.array(places, dtype=np.int64)
    return chooser(logits.device)(logits, stage.upload(sources), _draws(rows, stage, ahead))


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
