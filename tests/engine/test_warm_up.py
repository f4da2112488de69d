"""What runs before the first request: every kind of step once, in blocks that are there, and a broken model is told."""

import pytest

from common.engine.limits import Limits
from common.engine.plan import Sampled, StepPlan, StepResult
from common.engine.warm_up import largest_steps, warm_up
from common.types.errors import ModelError
from tests.cache.test_storage import LAYOUT

NUM_BLOCKS = 64
LIMITS = Limits(token_budget=128, max_sequences=4, max_model_tokens=256)


class Runs:
    """Remembers plans; every step takes as long as the test says, and answers unless `broken`."""

    def __init__(self, seconds: float = 0.1, broken: bool = False) -> None:
        self.plans: list[StepPlan] = []
        self._seconds, self._broken = seconds, broken

    def run(self, plan: StepPlan) -> StepResult:
        self.plans.append(plan)
        token = None if self._broken else Sampled(1)
        return StepResult(tuple(token for _ in plan.rows), self._seconds)

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Of each step its works, the first one's start and how many tokens it has."""
        return [(len(plan.works), plan.works[0].start, len(plan.works[0].token_ids)) for plan in self.plans]


def test_whole_prompts_chunks_behind_a_prefix_and_decode_steps_all_run() -> None:
    runs = Runs()
    assert warm_up(runs.run, LIMITS, LAYOUT, NUM_BLOCKS) == (128, 0.1)
    assert runs.shapes == [(1, 0, 128), (1, 0, 128), (1, 1, 2), (1, 1, 20), (1, 1, 40), (4, 0, 1), (4, 0, 1)]


def test_a_slow_first_pass_is_the_only_one() -> None:
    runs = Runs(seconds=5.0)
    assert warm_up(runs.run, LIMITS, LAYOUT, NUM_BLOCKS) == (128, 5.0)
    assert [shape for shape in runs.shapes if shape[2] == 128] == [(1, 0, 128)]


def test_every_position_is_within_the_blocks_there_are() -> None:
    few = 2
    runs = Runs()
    length, _ = warm_up(runs.run, LIMITS, LAYOUT, few)
    assert length == few * LAYOUT.block_tokens
    for plan in (*runs.plans, *largest_steps(LIMITS, LAYOUT, few)):
        for work in plan.works:
            assert work.start + len(work.token_ids) <= len(work.blocks) * LAYOUT.block_tokens
            assert max(work.blocks) < few


def test_a_model_whose_answers_are_no_numbers_does_not_start() -> None:
    with pytest.raises(ModelError, match="not numbers"):
        warm_up(Runs(broken=True).run, LIMITS, LAYOUT, NUM_BLOCKS)
