"""A decode step that was launched and not yet asked for: which tokens it computes, and how to get them.

A step launched ahead is a guess that every sequence goes on. It is true for those that do; what it computed for one
that ended is not looked at, and what it wrote lies behind that sequence's last token, in a block that is used again
only by later launches of the same stream. (Whoever writes blocks from outside the stream waits for it: `settle`.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from common.engine.plan import StepPlan, Work

Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class Flight:
    """`tokens` [R] int64 on the device, -1 where there was nothing to choose; row i belongs to `works[i]`."""

    tokens: torch.Tensor
    read: Callable[[], Int64s]
    places: dict[tuple[int, int], int]  # (key, start) of each work it computes
    _found: Int64s | None = field(default=None)

    def wait(self) -> Int64s:
        """The tokens, once the device has them."""
        if self._found is None:
            self._found = self.read()
        return self._found

    def cover(self, plan: StepPlan) -> Int64s | None:
        """The place of each work's token if this step computed all that the plan wants, else None."""
        if plan.copies:
            return None
        places = [self.places.get((work.key, work.start), -1) for work in plan.works]
        return None if -1 in places else np.array(places, dtype=np.int64)


def places_of(works: Sequence[Work], computed: Sequence[bool], ahead: int) -> dict[tuple[int, int], int]:
    """What a step over these works, so many tokens further on, answers."""
    return {
        (work.key, work.start + ahead): place
        for place, (work, fits) in enumerate(zip(works, computed, strict=True))
        if fits
    }


def is_step(plan: StepPlan, max_rows: int) -> bool:
    """Whether a plan is a decode step and nothing else: one token of each sequence, one draw from each."""
    return (
        plan.num_decode == len(plan.works) == len(plan.rows) <= max_rows
        and not plan.final_blocks
        and all(row.work == place for place, row in enumerate(plan.rows))
        and not any(work.score_ids for work in plan.works)
    )
