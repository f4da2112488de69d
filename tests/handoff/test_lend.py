"""The lender's machine: leases on its own clock, compare-and-set, fencing."""

import pytest

from common.types.errors import StaleAttempt
from common.types.handoff import LoanEnd, Verdict
from common.types.ids import AttemptId
from common.types.kv import BlockRef
from kvtransfer.handoff.actions import Closed, Free
from kvtransfer.handoff.lend import Lender, LoanState
from tests.handoff.samples import LATER, REFS, TIMEOUTS, X, manifest

LEASE_S = TIMEOUTS.lease_s


def ended(id: AttemptId, end: LoanEnd) -> tuple[Free, Closed]:
    return Free(id), Closed(id, end)


def sealed_lender(now: float = 0.0) -> Lender:
    lender = Lender(TIMEOUTS)
    lender.open(X, now, 60.0)
    lender.ready(X, 0, REFS[:2])
    assert lender.seal(manifest(), now)
    return lender


def test_a_loan_from_first_block_to_release() -> None:
    lender = Lender(TIMEOUTS)
    assert lender.open(X, 0.0, 60.0) == ()
    lender.ready(X, 0, REFS[:1])
    loan = lender.loan(X)
    assert loan is not None
    assert (loan.state, loan.refs, loan.manifest) == (LoanState.COMPUTING, list(REFS[:1]), None)
    lender.ready(X, 1, REFS[1:])
    lender.seal(manifest(), 1.0)
    assert (loan.state, loan.refs, loan.manifest) == (LoanState.SEALED, list(REFS), manifest())
    assert lender.landed(X) == (Verdict.RELEASED, ended(X, LoanEnd.RELEASED))
    assert lender.loan(X) is None


def test_sealing_announces_what_was_not_ready_before() -> None:
    lender = sealed_lender()
    loan = lender.loan(X)
    assert loan is not None
    assert loan.refs == list(REFS)
    assert lender.lends(X, REFS[2].block, REFS[2].generation)


def test_landed_answers_the_same_when_repeated() -> None:
    lender = sealed_lender()
    lender.landed(X)
    assert lender.landed(X) == (Verdict.RELEASED, ())
    lender.cancel(X)
    lender.open(LATER, 1.0, 60.0)
    assert lender.landed(X) == (Verdict.RELEASED, ())


def test_landed_is_gone_unless_sealed() -> None:
    lender = Lender(TIMEOUTS)
    assert lender.landed(X) == (Verdict.GONE, ())
    lender.open(X, 0.0, 60.0)
    assert lender.landed(X) == (Verdict.GONE, ())
    assert lender.loan(X) is not None


@pytest.mark.parametrize("how", ["cancel", "lapse", "supersede"])
def test_landed_stays_gone_after_any_other_end(how: str) -> None:
    lender = sealed_lender()
    if how == "cancel":
        assert lender.cancel(X) == ended(X, LoanEnd.CANCELLED)
    elif how == "lapse":
        assert lender.tick(LEASE_S) == ended(X, LoanEnd.EXPIRED)
    else:
        assert lender.open(LATER, 1.0, 60.0) == ended(X, LoanEnd.CANCELLED)
    assert lender.landed(X) == (Verdict.GONE, ())
    assert lender.landed(X) == (Verdict.GONE, ())


def test_the_lease_runs_from_sealing_and_is_renewed() -> None:
    lender = sealed_lender(now=5.0)
    assert lender.next_expiry() == 5.0 + LEASE_S
    assert lender.tick(5.0 + LEASE_S - 0.001) == ()
    assert lender.renew(X, 14.0)
    assert lender.tick(5.0 + LEASE_S) == ()
    assert lender.next_expiry() == 14.0 + LEASE_S
    assert lender.tick(14.0 + LEASE_S) == ended(X, LoanEnd.EXPIRED)
    assert not lender.renew(X, 25.0)
    assert lender.next_expiry() is None


def test_what_is_never_computed_ends_at_the_deadline() -> None:
    lender = Lender(TIMEOUTS)
    lender.open(X, 100.0, 30.0)
    assert lender.renew(X, 101.0)
    assert lender.next_expiry() == 130.0
    assert lender.tick(130.0) == ended(X, LoanEnd.EXPIRED)


def test_stale_attempts_are_refused() -> None:
    lender = Lender(TIMEOUTS)
    lender.open(LATER, 0.0, 60.0)
    for stale in (X, LATER):
        with pytest.raises(StaleAttempt):
            lender.open(stale, 0.0, 60.0)
    assert lender.loan(LATER) is not None


def test_cancel_before_run_wins() -> None:
    lender = Lender(TIMEOUTS)
    assert lender.cancel(X) == ()
    with pytest.raises(StaleAttempt):
        lender.open(X, 0.0, 60.0)
    assert lender.open(LATER, 0.0, 60.0) == ()


def test_cancelling_a_later_attempt_ends_an_earlier_one() -> None:
    lender = sealed_lender()
    assert lender.cancel(LATER) == ended(X, LoanEnd.CANCELLED)
    with pytest.raises(StaleAttempt):
        lender.open(LATER, 0.0, 60.0)


def test_cancelling_an_earlier_attempt_leaves_a_later_one_alone() -> None:
    lender = Lender(TIMEOUTS)
    lender.open(LATER, 0.0, 60.0)
    assert lender.cancel(X) == ()
    assert lender.loan(LATER) is not None


def test_nothing_lent_ends_a_loan_once() -> None:
    lender = Lender(TIMEOUTS)
    lender.open(X, 0.0, 60.0)
    assert lender.nothing_lent(X) == ended(X, LoanEnd.NOTHING_LENT)
    assert lender.nothing_lent(X) == ()
    assert lender.cancel(X) == ()


def test_late_events_of_the_engine_are_ignored() -> None:
    lender = Lender(TIMEOUTS)
    lender.open(X, 0.0, 60.0)
    lender.cancel(X)
    lender.ready(X, 0, REFS)
    assert not lender.seal(manifest(), 1.0)
    assert lender.loan(X) is None


def test_lends_only_exact_generations_of_live_loans() -> None:
    lender = sealed_lender()
    ref = REFS[0]
    assert lender.lends(X, ref.block, ref.generation)
    assert not lender.lends(X, ref.block, ref.generation + 1)
    assert not lender.lends(X, 99, ref.generation)
    assert not lender.lends(LATER, ref.block, ref.generation)
    lender.landed(X)
    assert not lender.lends(X, ref.block, ref.generation)


def test_an_engine_that_contradicts_itself_is_a_bug() -> None:
    lender = sealed_lender()
    with pytest.raises(ValueError, match="became ready"):
        lender.ready(X, 3, REFS)
    other = Lender(TIMEOUTS)
    other.open(X, 0.0, 60.0)
    with pytest.raises(ValueError, match="became ready"):
        other.ready(X, 1, REFS)
    other.ready(X, 0, REFS[:1])
    with pytest.raises(ValueError, match="other blocks"):
        other.seal(manifest(blocks=(BlockRef(1, 1, 1), *REFS[1:])), 0.0)


def test_the_reaper_ends_each_loan_at_its_own_time() -> None:
    lender = Lender(TIMEOUTS)
    others = [AttemptId(f"r-{number}", 1) for number in range(3)]
    for number, id in enumerate(others):
        lender.open(id, 0.0, 10.0 + number)
    assert lender.next_expiry() == 10.0
    assert lender.tick(11.0) == (*ended(others[0], LoanEnd.EXPIRED), *ended(others[1], LoanEnd.EXPIRED))
    assert lender.next_expiry() == 12.0
