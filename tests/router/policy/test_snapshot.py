"""What a policy may know of an attempt and of a member."""

import pytest

from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from router.policy.snapshot import EXPECTED_OUTPUT_TOKENS, Need
from tests.router.samples import decode, hello, load, need, prefill, snapshot


def attempt(*choices: Choice, num_tokens: int = 10, num_prompt: int = 10, **sampling: int) -> Attempt:
    ids = tuple(range(num_tokens))
    return Attempt(AttemptId("r-1", 1), ids, num_prompt, choices or (Choice(0),), Sampling(**sampling))  # type: ignore[arg-type]


def test_a_first_attempt_needs_its_prompt_and_its_expected_answers() -> None:
    made = Need.of(attempt(Choice(0), Choice(1), max_tokens=50))
    assert (made.num_tokens, made.num_choices, made.max_tokens) == (10, 2, 50)
    assert made.expected_tokens == 10 + 2 * 50
    assert made.needs_decode
    assert not made.scores_prompt


def test_no_answer_is_expected_to_be_endless() -> None:
    assert Need.of(attempt(max_tokens=100_000)).expected_output_tokens == EXPECTED_OUTPUT_TOKENS


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (attempt(max_tokens=1), False),
        (attempt(max_tokens=2), True),
        (attempt(num_tokens=12, num_prompt=10, max_tokens=3), False),
        (attempt(num_tokens=12, num_prompt=10, max_tokens=4), True),
        (attempt(Choice(0, (7,)), max_tokens=1), True),
    ],
)
def test_decode_is_needed_unless_the_first_token_is_the_last(made: Attempt, expected: bool) -> None:
    assert Need.of(made).needs_decode is expected


def test_tails_are_counted() -> None:
    made = Need.of(attempt(Choice(0, (1, 2)), Choice(3, (4,)), max_tokens=20))
    assert made.num_tail_tokens == 3
    assert made.blocks(4) == 3 + 11


def test_only_what_takes_work_is_listed_and_by_name() -> None:
    members = (prefill("p2"), prefill("p1"), prefill("p0", draining=True), decode("d1"), decode("d0"))
    view = snapshot(*members)
    assert [member.name for member in view.prefill] == ["p1", "p2"]
    assert [member.name for member in view.decode] == ["d0", "d1"]


def test_a_fully_cached_prompt_still_costs_one_token() -> None:
    assert prefill(num_cached_tokens=100).uncached_tokens(100) == 1
    assert prefill(num_cached_tokens=60).uncached_tokens(100) == 40


def test_what_was_sent_since_the_report_counts() -> None:
    member = decode(load=load(num_free_blocks=5, num_cached_blocks=6, num_running=2, num_waiting=1), sent_blocks=4)
    assert member.num_available_blocks == 7
    assert decode(load=load(num_running=2, num_waiting=1), sent_sequences=3).num_sequences == 6


@pytest.mark.parametrize(("num_blocks", "max_model_tokens", "fits"), [(3, 100, 12), (100, 9, 9)])
def test_a_member_holds_what_pool_and_model_allow(num_blocks: int, max_model_tokens: int, fits: int) -> None:
    member = prefill(hello=hello(num_blocks=num_blocks, max_model_tokens=max_model_tokens))
    assert member.can_hold(fits)
    assert not member.can_hold(fits + 1)


def test_a_need_is_a_plain_value() -> None:
    assert need(5) == need(5)
