"""A step for which a device has no memory: tried again with what torch keeps back, then sequence by sequence.

So one prompt that is too large for what is left fails alone. Everything a step writes it may write again. Knows nothing
of how a step is run.
"""

from collections.abc import Callable

import torch

from common.engine.plan import Sampled, StepPlan, StepResult
from common.types.sampling import TokenLogprobs

Run = Callable[[StepPlan], StepResult]


class Frugal:
    """`run` as another one's, but that memory running out is a result. `release` gives back what is only kept."""

    def __init__(self, run: Run, release: Callable[[], None]) -> None:
        self._run = run
        self._release = release

    def run(self, plan: StepPlan) -> StepResult:
        result = self._try(plan) or self._try(plan)
        return self._apart(plan) if result is None else result

    def _try(self, plan: StepPlan) -> StepResult | None:
        try:
            return self._run(plan)
        except torch.OutOfMemoryError:
            self._release()
            return None

    def _apart(self, plan: StepPlan) -> StepResult:
        sampled: list[Sampled | None] = [None] * len(plan.rows)
        scores: list[tuple[TokenLogprobs, ...]] = [()] * len(plan.works)
        checksums = dict.fromkeys(plan.final_blocks, 0)
        exhausted: set[int] = set()
        seconds = kernel_s = 0.0
        for place in range(len(plan.works)):
            alone, rows = part_of(plan, place)
            result = self._try(alone)
            if result is None:
                exhausted.add(place)
                continue
            for row, outcome in zip(rows, result.sampled, strict=True):
                sampled[row] = outcome
            scores[place] = result.scores[0] if result.scores else ()
            checksums.update(zip(alone.final_blocks, result.checksums, strict=True))
            seconds, kernel_s = seconds + result.seconds, kernel_s + result.kernel_s
        return StepResult(
            tuple(sampled), seconds, tuple(scores), tuple(checksums.values()), kernel_s, frozenset(exhausted)
        )


def part_of(plan: StepPlan, place: int) -> tuple[StepPlan, list[int]]:
    """One work as a plan of its own, and which of the plan's rows are its. Copies it depends on are made again."""
    work = plan.works[place]
    rows = [number for number, row in enumerate(plan.rows) if row.work == place]
    own = set(work.blocks)
    alone = StepPlan(
        works=(work,),
        rows=tuple(plan.rows[number]._replace(work=0) for number in rows),
        num_decode=int(place < plan.num_decode),
        copies=tuple(copy for copy in plan.copies if copy[1] in own),
        final_blocks=tuple(block for block in plan.final_blocks if block in own),
    )
    return alone, rows
