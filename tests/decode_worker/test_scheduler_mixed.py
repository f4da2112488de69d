"""Prompts computed beside decode rows: every row in every step, chunks that fit the goal, one prompt at a time."""

from dataclasses import replace
from math import inf
from random import Random

import pytest

from common.engine.limits import Limits
from common.engine.plan import StepPlan, StepResult
from common.types.sampling import Sampling
from tests.decode_worker.drive import Drive
from tests.engine.attempts import attempt, random_attempt
from tests.engine.fake_model import FakeRunner

GOAL_S = 0.060
STEP_S, TOKEN_S = 0.010, 0.001
ANSWER = Sampling(max_tokens=200)


class PacedRunner(FakeRunner):
    """Steps take the time of a machine: so much for rows, so much for each prompt token. Keeps their plans."""

    def __init__(self, block_tokens: int, plans: list[StepPlan]) -> None:
        super().__init__(block_tokens)
        self.plans = plans

    def run(self, plan: StepPlan) -> StepResult:
        self.plans.append(plan)
        return replace(super().run(plan), seconds=step_s(plan))


class Paced(Drive):
    """A scheduler whose machine was warmed up."""

    def __init__(self, tpot_goal_s: float = GOAL_S, num_blocks: int = 400) -> None:
        super().__init__(Limits(256, 16, 1000, tpot_goal_s=tpot_goal_s), num_blocks)
        self.plans: list[StepPlan] = []
        self.runner = PacedRunner(4, self.plans)
        self.scheduler.learn(256, 256 * TOKEN_S)


def step_s(plan: StepPlan) -> float:
    return (STEP_S if plan.num_decode else 0.0) + (plan.num_tokens - plan.num_decode) * TOKEN_S


def busy(tpot_goal_s: float = GOAL_S) -> Paced:
    """Three rows decode, and their steps were measured."""
    drive = Paced(tpot_goal_s)
    for number in range(3):
        drive.enter(attempt(f"row{number}", range(10 * number, 10 * number + 5), sampling=ANSWER), local=True)
    for _ in range(4):
        drive.step()
    drive.plans.clear()
    return drive


def chunks(plan: StepPlan) -> list[tuple[int, int]]:
    return [(work.start, len(work.token_ids)) for work in plan.works[plan.num_decode :]]


def test_chunks_fit_the_goal_and_rows_are_in_every_step() -> None:
    drive = busy()
    drive.enter(attempt("long", range(100, 400)), local=True)
    while drive.scheduler.load().backlog_tokens:
        drive.step()
    assert len(drive.plans) == 8
    for plan in drive.plans:
        assert plan.num_decode == 3
        assert step_s(plan) <= 0.85 * GOAL_S + TOKEN_S
    assert sum(size for plan in drive.plans for _, size in chunks(plan)) == 300


def test_without_a_goal_a_chunk_takes_the_whole_budget() -> None:
    drive = busy(inf)
    drive.enter(attempt("long", range(100, 400)), local=True)
    drive.step()
    assert chunks(drive.plans[0]) == [(0, 253)]


def test_prompts_come_one_after_the_other() -> None:
    drive = busy()
    first = drive.enter(attempt("first", range(100, 200)), local=True)
    second = drive.enter(attempt("second", range(300, 400)), local=True)
    drive.run()
    works = [work for plan in drive.plans for work in plan.works[plan.num_decode :]]
    tokens = [token_id for work in works for token_id in work.token_ids]
    assert tokens == [*range(100, 200), *range(300, 400)]
    assert first.complete
    assert second.complete


def test_a_prompt_alone_takes_the_whole_budget() -> None:
    drive = Paced()
    drive.enter(attempt("alone", range(300)), local=True)
    drive.step()
    assert chunks(drive.plans[0]) == [(0, 256)]


def test_a_hand_off_on_its_way_is_a_row_already() -> None:
    drive = Paced()
    drive.enter(attempt("coming", range(20)), local=False)
    drive.enter(attempt("alone", range(100, 400)), local=True)
    drive.step()
    [(start, size)] = chunks(drive.plans[0])
    assert (start, size) == (0, int(0.85 * GOAL_S / TOKEN_S))


def test_the_load_tells_steps_of_rows_and_the_speed_beside_them() -> None:
    drive = busy()
    drive.enter(attempt("long", range(100, 400)), local=True)
    drive.step()
    load = drive.scheduler.load()
    assert load.step_ms == pytest.approx(1000 * STEP_S)
    assert load.prefill_tokens_per_s == pytest.approx(41 / (0.85 * GOAL_S), rel=0.03)
    drive.run()
    assert drive.scheduler.load().prefill_tokens_per_s == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_cut_prompts_give_the_undisturbed_tokens(seed: int) -> None:
    random, drive = Random(seed), Paced(tpot_goal_s=0.03, num_blocks=40)
    for number in range(25):
        drive.enter(random_attempt(random, number), local=random.random() < 0.7)
        if random.random() < 0.5:
            drive.step()
    drive.finish(random)
