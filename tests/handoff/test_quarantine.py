"""What happens to blocks a copy may still write into, and what timers may and may not do."""

from common.types.handoff import FailureKind, Verdict
from kvtransfer.handoff.actions import Fence, FreeBlocks, Overdue, QuarantineBlocks, Report, ReserveBlocks
from kvtransfer.handoff.arrival import LandingState
from kvtransfer.handoff.land import Lander
from tests.handoff.samples import LATER, LAYOUT, OWN, REFS, TIMEOUTS, X, attempt, manifest

HANDOFF_S, FENCE_S, QUARANTINE_S = TIMEOUTS.handoff_s, TIMEOUTS.fence_s, TIMEOUTS.quarantine_s


def copying() -> Lander:
    """Two copies under way since 1.0."""
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 0.0, 60.0)
    lander.reserved(X, OWN, 0, 0.0)
    lander.ready(X, 0, REFS[:1], 1.0)
    lander.ready(X, 1, REFS[1:], 1.0)
    return lander


def quarantined() -> Lander:
    lander = copying()
    assert lander.cancel(X, 2.0) == (QuarantineBlocks(X),)
    return lander


def test_blocks_come_back_when_the_last_copy_is_over() -> None:
    lander = quarantined()
    assert lander.copied(X, 1, True, 3.0) == ()
    assert lander.state(X) is LandingState.QUARANTINED
    assert lander.copied(X, 2, False, 3.0) == (FreeBlocks(X),)
    assert lander.copied(X, 2, True, 3.0) == ()
    assert lander.next_expiry() is None


def test_a_failed_copy_waits_for_the_others() -> None:
    lander = copying()
    assert lander.copied(X, 1, False, 2.0) == (Report(X, FailureKind.SOURCE_LOST), QuarantineBlocks(X))
    assert lander.copied(X, 2, True, 3.0) == (FreeBlocks(X),)


def test_a_timer_raises_the_fence_and_never_frees() -> None:
    lander = quarantined()
    assert lander.next_expiry() == 2.0 + FENCE_S
    assert lander.tick(2.0 + FENCE_S) == (Fence(X),)
    assert lander.next_expiry() == 2.0 + QUARANTINE_S
    assert lander.tick(2.0 + QUARANTINE_S) == (Overdue(X),)
    assert lander.tick(1e9) == ()
    assert lander.state(X) is LandingState.QUARANTINED
    assert lander.drained(X, 1e9) == (FreeBlocks(X),)
    assert lander.drained(X, 1e9) == ()


def test_nothing_else_wakes_a_quarantined_attempt() -> None:
    lander = quarantined()
    assert lander.cancel(X, 3.0) == ()
    assert lander.sealed(manifest(), 3.0) == ()
    assert lander.ready(X, 0, REFS, 3.0) == ()
    assert lander.verdict(X, Verdict.RELEASED, 3.0) == ()
    assert lander.source_lost(X, 3.0) == ()
    assert lander.refused(X, 3.0) == ()
    assert lander.finished(X, 3.0) == ()
    assert lander.state(X) is LandingState.QUARANTINED


def test_a_later_attempt_lives_beside_a_quarantined_one() -> None:
    lander = copying()
    assert lander.attach(attempt(LATER), 2.0, 60.0) == (QuarantineBlocks(X), ReserveBlocks(LATER))
    assert lander.drained(LATER, 3.0) == ()
    assert lander.drained(X, 3.0) == (FreeBlocks(X),)
    assert lander.state(LATER) is LandingState.WAITING


def test_a_hand_off_without_progress_times_out() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 0.0, 60.0)
    assert lander.next_expiry() == HANDOFF_S
    lander.reserved(X, OWN, 0, 10.0)
    assert lander.tick(HANDOFF_S) == ()
    lander.ready(X, 0, REFS, 20.0)
    lander.ready(X, 0, REFS, 30.0)
    assert lander.next_expiry() == 20.0 + HANDOFF_S
    assert lander.copied(X, 1, True, 34.0) == ()
    assert lander.tick(34.0 + HANDOFF_S) == (Report(X, FailureKind.TIMEOUT), FreeBlocks(X))


def test_waiting_for_a_lender_that_computes_is_progress() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 0.0, 60.0)
    lander.renewed(X, 10.0)
    assert lander.next_expiry() == HANDOFF_S
    lander.reserved(X, OWN, 0, 10.0)
    lander.renewed(X, 20.0)
    assert lander.next_expiry() == 20.0 + HANDOFF_S
    lander.sealed(manifest(), 21.0)
    lander.renewed(X, 30.0)
    assert lander.next_expiry() == 21.0 + HANDOFF_S
    lander.renewed(LATER, 30.0)


def test_no_hand_off_outlives_the_deadline() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 100.0, 5.0)
    lander.reserved(X, OWN, 0, 101.0)
    assert lander.next_expiry() == 105.0
    assert lander.tick(105.0) == (Report(X, FailureKind.DEADLINE), FreeBlocks(X))


def test_decoding_ends_at_the_deadline() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 0.0, 60.0)
    lander.reserved(X, OWN, 3, 0.0)
    lander.sealed(manifest(), 1.0)
    lander.verdict(X, Verdict.RELEASED, 2.0)
    assert lander.next_expiry() == 60.0
    assert lander.tick(59.9) == ()
    assert lander.tick(60.0) == (Report(X, FailureKind.DEADLINE), FreeBlocks(X))


def test_timers_end_all_that_expired_together() -> None:
    lander = copying()
    lander.attach(attempt(LATER), 1.0, 60.0)
    now = max(1.0 + FENCE_S, 1.0 + HANDOFF_S)
    assert lander.tick(now) == (Fence(X), Report(LATER, FailureKind.TIMEOUT), FreeBlocks(LATER))
