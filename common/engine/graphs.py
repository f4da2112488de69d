"""How a decode step is launched: captured once for a ladder of batch sizes and launched whole, or op by op.

Owns the captured steps and the memory they leave their result in. Knows nothing of plans, sampling or tables.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol

import torch

from common.engine.stage import Stage
from common.engine.static_batch import StaticBatch
from common.kernels.batch import Batch

Forward = Callable[[Batch], torch.Tensor]


class Steps(Protocol):
    """Two ways of the same."""

    def run(self, num_rows: int) -> torch.Tensor:
        """`[num_rows, hidden_size]` for the inputs as they are; good until the next call."""
        ...


class Eager:
    """Op by op: for devices, or kernels, whose steps cannot be captured."""

    def __init__(self, inputs: StaticBatch, forward: Forward) -> None:
        self._inputs = inputs
        self._forward = forward

    def run(self, num_rows: int) -> torch.Tensor:
        return self._forward(self._inputs.batch(num_rows))


class Graphs:
    """One captured step per rung; a batch takes the lowest rung that holds it, and its spare rows are idle."""

    def __init__(
        self,
        stage: Stage,
        inputs: StaticBatch,
        forward: Forward,
        rungs: tuple[int, ...],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._rungs = tuple(sorted(rungs))
        self._replays: dict[int, Callable[[], None]] = {}
        self._out: torch.Tensor | None = None
        # the largest first: the memory it takes serves all others after it
        for done, rows in enumerate(reversed(self._rungs), 1):
            self._replays[rows] = stage.capture(lambda rows=rows: self._step(inputs, forward, rows))  # type: ignore[misc]
            progress(done, len(self._rungs))

    def run(self, num_rows: int) -> torch.Tensor:
        if self._out is None or num_rows > self._rungs[-1]:
            raise ValueError(f"no captured step has {num_rows} rows")
        self._replays[self._rungs[bisect_left(self._rungs, num_rows)]]()
        return self._out[:num_rows]

    def _step(self, inputs: StaticBatch, forward: Forward, rows: int) -> None:
        hidden = forward(inputs.batch(rows, whole=True))
        if self._out is None:  # the first call is the largest rung's, outside of its capture
            self._out = torch.zeros_like(hidden)
        self._out[:rows].copy_(hidden)


def ladder(max_rows: int) -> tuple[int, ...]:
    """Rungs close enough that a step computes little for nobody: doubling up to 8, then a sixteenth of the way."""
    rungs = [rows for rows in (1, 2, 4, 8) if rows < max_rows]
    step = 16
    while (following := rungs[-1] // step * step + step if rungs else 1) < max_rows:
        rungs.append(following)
        step = 32 if following >= 256 else 16
    return (*rungs, max_rows)
