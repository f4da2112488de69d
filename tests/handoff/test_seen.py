"""Fencing numbers and tombstones: refusal, repetition, bounded memory."""

import pytest

from common.types.errors import StaleAttempt
from common.types.ids import AttemptId
from kvtransfer.handoff.seen import SeenAttempts

FIRST, SECOND, THIRD = (AttemptId("r-1", number) for number in (1, 2, 3))


def test_admits_only_rising_numbers() -> None:
    seen: SeenAttempts[str] = SeenAttempts()
    seen.admit(SECOND)
    for late in (FIRST, SECOND):
        with pytest.raises(StaleAttempt):
            seen.admit(late)
    seen.admit(THIRD)
    assert seen.newest("r-1") == THIRD


def test_requests_do_not_fence_each_other() -> None:
    seen: SeenAttempts[str] = SeenAttempts()
    seen.admit(SECOND)
    seen.admit(AttemptId("r-2", 1))
    assert seen.newest("r-2") == AttemptId("r-2", 1)
    assert seen.newest("r-3") is None


def test_a_barred_attempt_is_never_admitted() -> None:
    seen: SeenAttempts[str] = SeenAttempts()
    seen.bar(SECOND, "cancelled")
    assert seen.end(SECOND) == "cancelled"
    for late in (FIRST, SECOND):
        with pytest.raises(StaleAttempt):
            seen.admit(late)
    seen.admit(THIRD)


def test_barring_what_is_known_changes_nothing() -> None:
    seen: SeenAttempts[str] = SeenAttempts()
    seen.admit(SECOND)
    seen.bury(SECOND, "released")
    seen.bar(SECOND, "cancelled")
    seen.bar(FIRST, "cancelled")
    assert seen.end(SECOND) == "released"
    assert seen.end(FIRST) is None


def test_forgets_the_oldest_ended_and_nothing_live() -> None:
    seen: SeenAttempts[int] = SeenAttempts(max_ended=3)
    live = AttemptId("live", 1)
    seen.admit(live)
    for number in range(10):
        id = AttemptId(f"r-{number}", 1)
        seen.admit(id)
        seen.bury(id, number)
    assert [number for number in range(10) if seen.end(AttemptId(f"r-{number}", 1)) is not None] == [7, 8, 9]
    assert seen.newest("r-0") is None
    with pytest.raises(StaleAttempt):
        seen.admit(live)


def test_forgetting_an_attempt_keeps_a_later_one_of_its_request() -> None:
    seen: SeenAttempts[str] = SeenAttempts(max_ended=1)
    seen.admit(FIRST)
    seen.bury(FIRST, "cancelled")
    seen.admit(SECOND)
    seen.bury(AttemptId("other", 1), "cancelled")
    assert seen.end(FIRST) is None
    assert seen.newest("r-1") == SECOND


def test_memory_is_bounded_by_what_is_live_and_the_tombstones() -> None:
    seen: SeenAttempts[int] = SeenAttempts(max_ended=16)
    for number in range(1000):
        seen.bar(AttemptId(f"r-{number}", 1 + number % 3), number)
    assert len(seen._newest) == len(seen._ended) == 16
