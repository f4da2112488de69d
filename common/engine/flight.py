"""A decode step that was launched and not yet asked for: which tokens it computes, and how to get them.

A step launched ahead is a guess that every sequence goes on. It is true for those that do; what it computed for one
that ended is not looked at, and what it wrote lies behind that sequence's last token, in a block that is used again
only by later launches of the same stream. (Whoever writes blocks from outside the stream waits for it: `settle`.)
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from common.engine.plan import Sampled, StepPlan, Work


@dataclass(slots=True)
class Flight:
    """`tokens` [R] int64 on the device, -1 where there was nothing to choose; row i belongs to `works[i]`."""

    tokens: torch.Tensor
    read: Callable[[], tuple[Sampled | None, ...]]
    places: dict[tuple[int, int], int]  # (key, start) of each work it computes
    _found: tuple[Sampled | None, ...] | None = field(default=None)

    def wait(self) -> tuple[Sampled | None, ...]:
        """What each row yielded, once the device has it."""
        if self._found is None:
            self._found = self.read()
        return self._found


@dataclass(frozen=True, slots=True)
class Split:
    """A plan, by what a flight has computed of it: works with the place of their token in it, and all the rest.

    `rest_rows` and `rest_works` are the rest's numbers in the plan.
    """

    covered: dict[int, int]
    rest: StepPlan
    rest_rows: list[int]
    rest_works: list[int]


def split(plan: StepPlan, flight: Flight) -> Split:
    """Only works of one token with one row can have been computed ahead; copies are never theirs: a copied block makes
    another key.
    """
    num_rows = Counter(row.work for row in plan.rows)
    covered: dict[int, int] = {}
    for number, work in enumerate(plan.works[: plan.num_decode]):
        place = flight.places.get((work.key, work.start))
        if place is not None and num_rows[number] == 1 and not work.score_ids:
            covered[number] = place
    rest_works = [number for number in range(len(plan.works)) if number not in covered]
    moved = {number: place for place, number in enumerate(rest_works)}
    rest_rows = [number for number, row in enumerate(plan.rows) if row.work in moved]
    rest = StepPlan(
        works=tuple(plan.works[number] for number in rest_works),
        rows=tuple(plan.rows[number]._replace(work=moved[plan.rows[number].work]) for number in rest_rows),
        num_decode=sum(number < plan.num_decode for number in rest_works),
        copies=plan.copies,
        final_blocks=plan.final_blocks,
    )
    return Split(covered, rest, rest_rows, rest_works)


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
