"""What counts as what: refusals by their reason, ends by their outcome, times only of what was answered."""

import pytest

from common.types.errors import (
    BatonError,
    Cancelled,
    DeadlinePassed,
    Forbidden,
    NotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
    invalid,
)
from common.types.handoff import FailureKind
from common.types.ids import Role
from router.tally import ANSWERED, CANCELLED, FAILED, LEGS, Tally
from router.timeline import Summary, Timings

REFUSALS: list[tuple[BatonError, str, tuple[str, str]]] = [
    (Overloaded("full", 50, "requests"), "requests", ("request", "RESOURCE_EXHAUSTED")),
    (Overloaded("full", 50, "key_tokens"), "key_tokens", ("request", "RESOURCE_EXHAUSTED")),
    (invalid("n", "too many"), "invalid", ("request", "INVALID_ARGUMENT")),
    (NotFound("model", "x", ("y",)), "not_found", ("request", "NOT_FOUND")),
    (Unauthenticated("who"), "key", ("request", "UNAUTHENTICATED")),
    (Forbidden("no"), "key", ("request", "PERMISSION_DENIED")),
    (Unavailable("down", "decode"), "unavailable", ("decode", "UNAVAILABLE")),
]


@pytest.mark.parametrize(("error", "reason", "row"), REFUSALS, ids=lambda each: str(each)[:12])
def test_a_refusal_is_counted_by_its_reason_and_as_an_error(
    error: BatonError, reason: str, row: tuple[str, str]
) -> None:
    tally = Tally()
    tally.refuse(error)
    assert dict(tally.refused) == {reason: 1}
    assert dict(tally.errors) == {row: 1}
    assert tally.num_admitted == 0


def test_failures_name_their_leg() -> None:
    tally = Tally()
    for error in (DeadlinePassed("decode"), Unavailable("down", "prefill"), Cancelled("gone")):
        tally.fail(error)
    assert set(tally.errors) == {("decode", "DEADLINE_EXCEEDED"), ("prefill", "UNAVAILABLE"), ("request", "CANCELLED")}


def summary(num_tokens: int, decode_ms: float = 300.0) -> Summary:
    return Summary(10, 4, num_tokens, Timings(1.0, 2.0, 100.0, decode_ms, 3.0, 500.0), 1, ())


@pytest.mark.parametrize(
    ("num_tokens", "num_choices", "per_token_s"),
    [(5, 1, 0.1), (10, 2, 0.1), (2, 1, 0.4), (1, 1, None), (3, 3, None), (0, 1, None), (1, 4, None)],
)
def test_time_per_token_is_of_those_after_the_first_of_each_choice(
    num_tokens: int, num_choices: int, per_token_s: float | None
) -> None:
    tally = Tally()
    tally.end(ANSWERED, summary(num_tokens), num_choices, 1.0)
    found = tally.tpot.counts()
    assert found.total == (per_token_s is not None)
    assert found.sum == pytest.approx(per_token_s or 0.0)


@pytest.mark.parametrize("outcome", [FAILED, CANCELLED])
def test_times_of_what_was_not_answered_are_not_kept(outcome: str) -> None:
    tally = Tally()
    tally.end(outcome, summary(5), 1, 1.0)
    assert dict(tally.ended) == {outcome: 1}
    assert tally.num_cached_tokens == 4, "what the cache spared was spared all the same"
    assert [latency.counts().total for latency in (tally.e2e, tally.tpot, *tally.legs.values())] == [0] * (
        2 + len(LEGS)
    )


def test_an_answers_time_is_split_among_its_legs() -> None:
    tally = Tally()
    tally.end(ANSWERED, summary(5), 1, 1.0)
    sums = [tally.legs[leg].counts().sum for leg in LEGS]
    assert sums == pytest.approx([0.001, 0.002, 0.1, 0.3])
    assert tally.e2e.counts().sum == pytest.approx(0.5)


def test_tokens_of_one_message_are_one_interval() -> None:
    tally = Tally()
    tally.deliver(4, None, 1.0)
    tally.deliver(3, 0.02, 1.02)
    assert (tally.num_output_tokens, tally.itl.counts().total) == (7, 1)


def test_failed_legs_and_retries_by_pool() -> None:
    tally = Tally()
    tally.leg_failed(Role.DECODE, FailureKind.INTERNAL)
    tally.leg_failed(Role.PREFILL, Unavailable("down", "prefill"))
    tally.retry(Role.DECODE, continues=True)
    tally.retry(Role.PREFILL, continues=False)
    assert dict(tally.leg_failures) == {("decode", "internal"): 1, ("prefill", "unavailable"): 1}
    assert (dict(tally.retries), tally.num_continuations) == ({"decode": 1, "prefill": 1}, 1)
