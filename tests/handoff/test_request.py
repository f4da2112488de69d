"""The router's machine: routing, failures and retries."""

import pytest

from common.types.attempt import Attempt, Choice
from common.types.errors import (
    BatonError,
    Cancelled,
    ConstraintFailed,
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    Unavailable,
    invalid,
)
from common.types.handoff import FailureKind
from common.types.ids import Role
from common.types.sampling import FinishReason, SampledToken
from kvtransfer.handoff.request import RequestRun, RequestState
from kvtransfer.handoff.steps import (
    Attach,
    CancelLegs,
    ChooseDecode,
    ChoosePrefill,
    Done,
    Fail,
    MemberId,
    RequestAction,
    RunPrefill,
)
from tests.handoff.samples import LATER, X, attempt

P, D, D2 = MemberId("prefill-1", 11), MemberId("decode-1", 21), MemberId("decode-2", 22)
NOBODY: frozenset[MemberId] = frozenset()
DEADLINE_S = 60.0
FINAL_KINDS = (FailureKind.TOO_LARGE, FailureKind.DEADLINE, FailureKind.CONSTRAINT)


def begun(first: Attempt | None = None) -> RequestRun:
    run = RequestRun(first or attempt(), 0.0, DEADLINE_S)
    assert run.begin() == (ChoosePrefill(run.attempt, NOBODY),)
    return run


def prefilling(first: Attempt | None = None) -> RequestRun:
    run = begun(first)
    assert run.routed_prefill(X, P, 1.0) == (RunPrefill(run.attempt, P, run.needs_decode, 59.0),)
    return run


def attached(first: Attempt | None = None) -> RequestRun:
    run = prefilling(first)
    assert run.started(X) == (ChooseDecode(run.attempt, P, NOBODY),)
    assert run.routed_decode(X, D, 2.0) == (Attach(run.attempt, D, P, 58.0),)
    return run


def fail(run: RequestRun, leg: Role, failure: FailureKind | BatonError, now: float = 5.0) -> tuple[RequestAction, ...]:
    return run.leg_failed(run.id, leg, failure, now, may_retry=True)


def error_of(actions: tuple[RequestAction, ...]) -> BatonError:
    last = actions[-1]
    assert isinstance(last, Fail)
    return last.error


def token(index: int, token_id: int, *, last: bool = False, choice: int = 0) -> SampledToken:
    return SampledToken(choice, index, token_id, finish=FinishReason.LENGTH if last else None)


def test_one_request_from_admission_to_its_end() -> None:
    run = attached()
    states = [run.state]
    assert run.accept_token(X, token(0, 42))
    run.sealed(X)
    run.joined(X)
    states.append(run.state)
    assert states == [RequestState.ATTACHING, RequestState.STREAMING]
    assert not run.accept_token(X, token(0, 42))
    assert run.settle() == ()
    assert run.accept_token(X, token(1, 43, last=True))
    assert run.settle() == (CancelLegs(X, P, D), Done())
    assert run.state is RequestState.DONE
    assert run.settle() == ()


def test_a_decode_member_may_prefill_itself() -> None:
    run = begun()
    assert run.routed_local(X, D, 1.0) == (Attach(run.attempt, D, None, 59.0),)
    run.joined(X)
    assert fail(run, Role.DECODE, FailureKind.INTERNAL)[0] == CancelLegs(X, None, D)


def test_a_first_token_that_is_the_last_needs_no_decode() -> None:
    run = prefilling(attempt(max_tokens=1))
    assert not run.needs_decode
    assert run.started(X) == ()
    assert run.accept_token(X, token(0, 42, last=True))
    assert run.settle() == (CancelLegs(X, P, None), Done())


def test_what_comes_late_or_twice_routes_nothing() -> None:
    run = attached()
    assert run.started(X) == ()
    assert run.routed_prefill(X, P, 3.0) == ()
    assert run.routed_local(X, D, 3.0) == ()
    assert run.routed_decode(X, D2, 3.0) == ()
    fail(run, Role.DECODE, FailureKind.INTERNAL)
    assert run.routed_prefill(X, P, 3.0) == ()
    assert run.started(X) == ()


@pytest.mark.parametrize("kind", [k for k in FailureKind if k not in FINAL_KINDS])
def test_a_failed_leg_ends_the_attempt_and_another_begins(kind: FailureKind) -> None:
    run = attached()
    cancel, choose = fail(run, Role.DECODE, kind)
    assert cancel == CancelLegs(X, P, D)
    blamed = P if kind is FailureKind.SOURCE_LOST else D
    assert choose == ChoosePrefill(attempt(LATER), frozenset({blamed}))
    assert run.state is RequestState.ADMITTED
    assert fail(run, Role.PREFILL, kind)[0] == ChoosePrefill(run.attempt, frozenset({blamed}))


def test_a_failure_of_an_earlier_attempt_is_no_news() -> None:
    run = attached()
    fail(run, Role.DECODE, FailureKind.INTERNAL)
    assert run.leg_failed(X, Role.PREFILL, FailureKind.INTERNAL, 6.0, may_retry=True) == ()
    assert run.id == LATER


def test_three_attempts_and_no_more() -> None:
    run = attached()
    fail(run, Role.DECODE, FailureKind.TIMEOUT)
    fail(run, Role.PREFILL, FailureKind.INTERNAL)
    error = error_of(fail(run, Role.PREFILL, FailureKind.INTERNAL))
    assert isinstance(error, Unavailable)
    assert error.leg == "prefill"
    assert run.state is RequestState.FAILED
    assert fail(run, Role.PREFILL, FailureKind.INTERNAL) == ()


def test_the_fleets_retry_budget_counts() -> None:
    run = attached()
    actions = run.leg_failed(X, Role.DECODE, FailureKind.TIMEOUT, 5.0, may_retry=False)
    assert actions[0] == CancelLegs(X, P, D)
    assert isinstance(error_of(actions), Unavailable)


def test_failures_another_attempt_would_meet_again_are_final() -> None:
    assert isinstance(error_of(fail(attached(), Role.DECODE, FailureKind.TOO_LARGE)), InvalidRequest)
    assert isinstance(error_of(fail(attached(), Role.DECODE, FailureKind.DEADLINE)), DeadlinePassed)
    assert isinstance(error_of(fail(attached(), Role.DECODE, FailureKind.CONSTRAINT)), ConstraintFailed)
    refused = invalid("prompt", "too long")
    assert error_of(fail(prefilling(), Role.PREFILL, refused)) is refused


def test_an_error_with_its_own_words_is_shown_when_no_attempt_is_left() -> None:
    full = Overloaded("no room", 100)
    run = prefilling()
    assert isinstance(fail(run, Role.PREFILL, full)[-1], ChoosePrefill)
    assert error_of(run.leg_failed(run.id, Role.PREFILL, full, 5.0, may_retry=False)) is full


def test_prefill_may_go_once_decode_can_do_without() -> None:
    run = attached()
    run.sealed(X)
    assert fail(run, Role.PREFILL, FailureKind.INTERNAL) == ()
    assert isinstance(fail(run, Role.DECODE, FailureKind.SOURCE_LOST)[-1], ChoosePrefill)
    joined = attached()
    joined.joined(X)
    assert fail(joined, Role.PREFILL, FailureKind.INTERNAL) == ()


def test_prefill_may_not_go_before() -> None:
    unsealed = attached()
    assert isinstance(fail(unsealed, Role.PREFILL, FailureKind.INTERNAL)[-1], ChoosePrefill)
    unattached = prefilling()
    unattached.sealed(X)
    assert fail(unattached, Role.PREFILL, FailureKind.INTERNAL)[0] == CancelLegs(X, P, None)


def test_the_deadline_ends_a_request_wherever_it_is() -> None:
    for run, leg in ((begun(), "admission"), (prefilling(), "prefill"), (attached(), "hand-off")):
        assert run.tick(DEADLINE_S - 0.1) == ()
        error = error_of(run.tick(DEADLINE_S))
        assert isinstance(error, DeadlinePassed)
        assert error.leg == leg
        assert run.tick(DEADLINE_S) == ()


def test_no_attempt_begins_after_the_deadline() -> None:
    assert isinstance(error_of(fail(attached(), Role.DECODE, FailureKind.TIMEOUT, now=DEADLINE_S)), DeadlinePassed)


def test_cancelling_tells_both_legs_and_ends() -> None:
    run = attached()
    cancel, last = run.cancel("the client is gone")
    assert cancel == CancelLegs(X, P, D)
    assert isinstance(error_of((last,)), Cancelled)
    assert run.state is RequestState.CANCELLED
    assert run.cancel("again") == ()
    assert fail(run, Role.DECODE, FailureKind.INTERNAL) == ()
    assert not run.accept_token(X, token(0, 1))


def test_a_leg_that_fails_after_the_last_token_fails_nothing() -> None:
    run = attached()
    run.accept_token(X, token(0, 42, last=True))
    assert fail(run, Role.DECODE, FailureKind.INTERNAL) == (CancelLegs(X, P, D), Done())


def test_two_choices_end_the_request_together() -> None:
    run = attached(attempt(choices=(Choice(0), Choice(1))))
    assert run.accept_token(X, token(0, 1, last=True))
    assert run.settle() == ()
    assert run.accept_token(X, token(0, 2, choice=1, last=True))
    assert run.settle()[-1] == Done()
