"""The next attempt of a request continues exactly what was delivered."""

from hypothesis import given
from hypothesis import strategies as st

from common.types.attempt import Choice
from kvtransfer.handoff.continuation import continue_attempt
from tests.handoff.samples import LATER, attempt

PROMPT = attempt().token_ids


def test_a_single_choice_moves_into_the_common_part() -> None:
    following = continue_attempt(attempt(), {0: [7, 8, 9]})
    assert following.id == LATER
    assert following.token_ids == (*PROMPT, 7, 8, 9)
    assert following.num_prompt_tokens == len(PROMPT)
    assert following.choices == (Choice(0),)
    assert following.next_index == 3


def test_nothing_delivered_is_the_same_work_again() -> None:
    following = continue_attempt(attempt(choices=(Choice(0), Choice(1))), {0: [], 1: []})
    assert following.token_ids == PROMPT
    assert following.choices == (Choice(0), Choice(1))


def test_choices_share_what_they_have_in_common() -> None:
    following = continue_attempt(attempt(), {2: [7, 8, 1], 0: [7, 8], 1: [7, 8, 2, 3]})
    assert following.token_ids == (*PROMPT, 7, 8)
    assert following.choices == (Choice(0), Choice(1, (2, 3)), Choice(2, (1,)))
    assert following.fresh_choices == (0,)


def test_a_retry_of_a_retry_starts_from_the_prompt_again() -> None:
    once = continue_attempt(attempt(), {0: [7, 8], 1: [7, 9]})
    twice = continue_attempt(once, {1: [7, 9, 5]})
    assert twice.id.number == 3
    assert twice.token_ids == (*PROMPT, 7, 9, 5)
    assert twice.choices == (Choice(1),)


def test_only_the_named_choices_go_on() -> None:
    assert continue_attempt(attempt(choices=(Choice(0), Choice(1))), {1: [4]}).choices == (Choice(1),)


OUTPUTS = st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=4)


@given(OUTPUTS)
def test_every_choice_is_continued_exactly(outputs: dict[int, list[int]]) -> None:
    following = continue_attempt(attempt(), outputs)
    base = following.token_ids[following.num_prompt_tokens :]
    assert {choice.index: list(base + choice.tail) for choice in following.choices} == outputs
    tails = [choice.tail for choice in following.choices]
    assert len(tails) == 1 or () in tails or len({tail[0] for tail in tails}) > 1
