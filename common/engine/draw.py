"""Chooses tokens on the device, so that they need not come to the host before the next step can be launched.

Serves rows that only ask for the best token or for a plain draw. Whatever reads a row's history or its log
probabilities is the host's business (`sampler.py`).
"""

from collections.abc import Sequence

import torch

from common.engine.adjust import is_adjusted
from common.engine.plan import SampleRow


def is_plain(row: SampleRow) -> bool:
    """Whether a row is drawn from its logits as they are, and nothing else of them is wanted."""
    return row.sampling.greedy and row.sampling.logprobs is None and not is_adjusted(row)


def draw(logits: torch.Tensor, rows: Sequence[SampleRow]) -> torch.Tensor:
    """[R] int64: row i's token, -1 where it has nothing to choose. All rows are plain ones."""
    best = logits.argmax(dim=1)
    peaks = logits.gather(1, best[:, None])[:, 0]
    return torch.where(torch.isfinite(peaks), best, -1)
