"""Memory that runs out in a step costs as few attempts as it can."""

import pytest
import torch

from common.engine.compose import drawn_tokens, why_refused
from common.engine.exhaustion import Frugal
from common.engine.plan import Sampled, SampleRow, StepPlan, StepResult, Work
from common.types.errors import InvalidRequest, Overloaded
from common.types.ids import AttemptId
from common.types.sampling import Sampling, TokenLogprobs

SAMPLING = Sampling(temperature=0.0)


class Small:
    """A device with room for so many tokens a step; a token is its work's key plus its choice."""

    def __init__(self, room: int, after_release: int = 0) -> None:
        self.room, self.after_release = room, after_release
        self.plans: list[StepPlan] = []
        self.num_releases = 0

    def release(self) -> None:
        self.num_releases += 1
        self.room = max(self.room, self.after_release)

    def run(self, plan: StepPlan) -> StepResult:
        self.plans.append(plan)
        if plan.num_tokens > self.room:
            raise torch.OutOfMemoryError
        sampled = tuple(Sampled(10 * plan.works[row.work].key + row.choice) for row in plan.rows)
        scores = tuple(tuple(TokenLogprobs(token, -1.0) for token in work.score_ids) for work in plan.works)
        return StepResult(sampled, 1.0, scores, tuple(7 * block for block in plan.final_blocks), 0.5)


def row(work: int, choice: int = 0) -> SampleRow:
    return SampleRow(work, AttemptId(f"r-{work}", 1), choice, 0, SAMPLING, (1, 2), 2)


def plan() -> StepPlan:
    works = (
        Work(1, (5,), 3, [4]),
        Work(2, (5,) * 50, 0, [5, 6], score_ids=(9,)),
        Work(3, (5,) * 20, 0, [7, 8], score_ids=(9, 9)),
    )
    rows = (row(0), row(1), row(2), row(2, 1))
    return StepPlan(works, rows, 1, copies=((9, 4), (1, 7)), final_blocks=(5, 6, 7))


def test_a_step_that_fits_is_run_as_it_is() -> None:
    device = Small(100)
    assert Frugal(device.run, device.release).run(plan()) == Small(100).run(plan())
    assert (len(device.plans), device.num_releases) == (1, 0)


def test_memory_that_was_only_kept_back_is_used_first() -> None:
    device = Small(10, after_release=100)
    assert not Frugal(device.run, device.release).run(plan()).exhausted
    assert (len(device.plans), device.num_releases) == (2, 1)


def test_who_is_too_large_even_alone_fails_alone() -> None:
    device = Small(30)
    result = Frugal(device.run, device.release).run(plan())
    assert result.exhausted == {1}
    assert result.sampled == (Sampled(10), None, Sampled(30), Sampled(31))
    assert result.scores == ((), (), (TokenLogprobs(9, -1.0), TokenLogprobs(9, -1.0)))
    assert result.checksums == (0, 0, 49)
    assert (result.seconds, result.kernel_s) == (2.0, 1.0)
    first, second, third = device.plans[-3:]
    assert (first.num_decode, second.num_decode, third.num_decode) == (1, 0, 0)
    assert (first.copies, second.copies, third.copies) == (((9, 4),), (), ((1, 7),))


def test_its_attempt_is_told_why_and_may_come_again() -> None:
    device = Small(30)
    result = Frugal(device.run, device.release).run(plan())
    drawn = drawn_tokens(plan(), result, 100)
    assert [tokens is None for tokens in drawn] == [False, True, False]
    error = why_refused(result, 1, SAMPLING)
    assert isinstance(error, Overloaded)
    assert error.retry_after_ms > 0
    assert isinstance(why_refused(result, 0, SAMPLING), InvalidRequest)


def test_other_errors_are_bugs() -> None:
    def broken(plan: StepPlan) -> StepResult:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Frugal(broken, lambda: None).run(plan())
