"""How many prompt tokens ride in a step: what is learned, and what fits."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.engine.limits import Limits
from decode_worker.ration import Ration

GOAL_S = 0.06


def ration(goal_s: float = GOAL_S, token_budget: int = 512) -> Ration:
    return Ration(Limits(token_budget, 8, 4096, tpot_goal_s=goal_s))


def taught(token_s: float = 0.0005, step_s: float = 0.010, goal_s: float = GOAL_S) -> Ration:
    made = ration(goal_s)
    made.learn(512, 512 * token_s)
    made.note(4, 0, step_s)
    return made


def test_nothing_is_cut_before_anything_is_known() -> None:
    assert ration().tokens(8) == 512
    assert ration().tokens_per_s(8) == 0.0
    assert ration().step_ms == 0.0


def test_a_step_with_rows_fits_the_goal_with_some_to_spare() -> None:
    made = taught()
    assert made.step_ms == pytest.approx(10)
    assert made.tokens(4) == pytest.approx((0.85 * GOAL_S - 0.010) / 0.0005, abs=1)
    assert made.tokens_per_s(4) == pytest.approx(made.tokens(4) / (0.85 * GOAL_S), rel=0.02)


def test_alone_a_prompt_gets_the_whole_budget() -> None:
    made = taught()
    assert made.tokens(0) == 512
    assert made.tokens_per_s(0) == pytest.approx(2000)


def test_without_a_goal_nothing_is_cut() -> None:
    assert taught(goal_s=inf).tokens(4) == 512


def test_where_the_goal_is_out_of_reach_a_chunk_doubles_the_step() -> None:
    made = taught(token_s=0.001, step_s=0.100)
    assert made.tokens(4) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("step_s", [0.031, 0.040, 0.050, 0.059])
def test_a_goal_that_steps_nearly_miss_is_not_given_up(step_s: float) -> None:
    made = taught(token_s=0.0001, step_s=step_s)
    assert step_s + made.tokens(4) * 0.0001 <= max(0.85 * GOAL_S, step_s + 16 * 0.0001) + 1e-9


def test_a_chunk_is_never_too_short_to_bring_a_prompt_on() -> None:
    made = taught(token_s=0.5)
    assert made.tokens(4) == 16
    assert made.tokens_per_s(4) > 0


def test_what_rides_with_rows_is_charged_without_them() -> None:
    made = taught()
    for _ in range(60):
        made.note(4, 80, 0.010 + 80 * 0.001)
    assert made.tokens(4) == pytest.approx((0.85 * GOAL_S - 0.010) / 0.001, abs=2)
    assert made.step_ms == pytest.approx(10), "a step with a prompt says nothing of rows alone"


def test_a_disturbed_warm_up_is_soon_forgotten() -> None:
    made = ration()
    made.learn(512, 12.0)
    for _ in range(8):
        made.note(0, 512, 0.25)
    assert made.tokens_per_s(0) > 1000


def test_the_end_of_a_prompt_says_nothing_of_speed() -> None:
    made = taught()
    before = made.tokens(4)
    for _ in range(30):
        made.note(4, 3, 0.040)
    assert made.tokens(4) == before


def test_a_step_in_which_the_process_was_stopped_counts_as_a_few() -> None:
    made = taught()
    made.note(4, 0, 30.0)
    made.note(4, 80, 60.0)
    assert made.step_ms < 20
    assert made.tokens(4) >= 16


@given(
    st.floats(1e-5, 1e-2),
    st.floats(1e-3, 0.2),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 512)), max_size=60),
)
def test_steps_it_allows_keep_the_goal_or_double_what_misses_it(
    token_s: float, step_s: float, steps: list[tuple[int, int]]
) -> None:
    """On a machine that behaves as it takes machines to behave, whatever steps came before."""
    made = taught(token_s, step_s)
    for num_rows, num_tokens in steps:
        if num_rows or num_tokens:
            made.note(num_rows, num_tokens, (step_s if num_rows else 0.0) + num_tokens * token_s)
    allowed = made.tokens(4)
    assert 16 <= allowed <= 512
    least_s = step_s + 16 * token_s
    most_s = 0.85 * GOAL_S if made.step_ms < 1000 * GOAL_S else 2 * step_s
    assert step_s + allowed * token_s <= 1.001 * max(most_s, least_s)
