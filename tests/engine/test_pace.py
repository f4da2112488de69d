"""How fast an engine takes itself to be: what counts as a word on its speed, and what does not."""

import pytest

from common.engine.pace import Pace


def warmed() -> Pace:
    pace = Pace()
    pace.learn(512, 0.5)
    return pace


def test_nothing_is_known_before_the_first_step() -> None:
    pace = Pace()
    assert pace.prefill_tokens_per_s == 0.0
    assert pace.step_ms == 0.0


def test_the_warm_up_is_the_first_word() -> None:
    assert warmed().prefill_tokens_per_s == pytest.approx(1024)


def test_short_prompts_say_nothing_of_speed() -> None:
    pace = warmed()
    for _ in range(50):
        pace.note(4, 0.02)
    assert pace.prefill_tokens_per_s == pytest.approx(1024)
    assert pace.step_ms == pytest.approx(20)


def test_long_chunks_correct_the_warm_up() -> None:
    pace = warmed()
    for _ in range(60):
        pace.note(512, 0.25)
    assert pace.prefill_tokens_per_s == pytest.approx(2048, rel=0.05)


def test_without_a_warm_up_any_prompt_counts() -> None:
    pace = Pace()
    pace.note(4, 0.02)
    assert pace.prefill_tokens_per_s == pytest.approx(200)


def test_a_step_in_which_the_process_was_stopped_counts_as_a_few() -> None:
    pace = warmed()
    pace.note(512, 0.5)
    pace.note(512, 60.0)
    assert pace.prefill_tokens_per_s > 100
