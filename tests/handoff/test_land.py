"""The lander's machine: the commit rule, and every way out before it."""

from dataclasses import replace

import pytest

from common.types.attempt import Choice
from common.types.errors import StaleAttempt
from common.types.handoff import FailureKind, Verdict
from common.types.kv import BlockRef, Manifest, Pair
from common.types.sampling import SampledToken
from kvtransfer.handoff.actions import (
    AskLanded,
    CopyBlocks,
    FreeBlocks,
    JoinBatch,
    OpenFetch,
    QuarantineBlocks,
    Report,
    ReserveBlocks,
    StartLocal,
)
from kvtransfer.handoff.arrival import LandingState
from kvtransfer.handoff.land import Lander
from tests.handoff.samples import LATER, LAYOUT, OWN, REFS, TIMEOUTS, X, attempt, manifest

LOST = (Report(X, FailureKind.SOURCE_LOST),)


def pairs(*places: int) -> tuple[Pair, ...]:
    return tuple(Pair(REFS[place], OWN[place]) for place in places)


def fetching(num_cached_blocks: int = 0) -> Lander:
    lander = Lander(LAYOUT, TIMEOUTS)
    assert lander.attach(attempt(), 0.0, 60.0) == (ReserveBlocks(X),)
    assert lander.reserved(X, OWN, num_cached_blocks, 0.0) == (OpenFetch(X, num_cached_blocks),)
    return lander


def verified() -> Lander:
    lander = fetching()
    assert lander.sealed(manifest(), 1.0) == (CopyBlocks(X, 1, pairs(0, 1, 2)),)
    assert lander.copied(X, 1, True, 2.0) == (AskLanded(X),)
    return lander


def test_blocks_are_copied_as_they_become_ready() -> None:
    lander = fetching()
    assert lander.ready(X, 0, REFS[:2], 1.0) == (CopyBlocks(X, 1, pairs(0, 1)),)
    assert lander.copied(X, 1, True, 2.0) == ()
    assert lander.sealed(manifest(), 3.0) == (CopyBlocks(X, 2, pairs(2)),)
    assert lander.copied(X, 2, True, 4.0) == (AskLanded(X),)
    assert lander.state(X) is LandingState.VERIFIED
    assert lander.verdict(X, Verdict.RELEASED, 5.0) == (JoinBatch(X, manifest()),)
    assert lander.state(X) is LandingState.DECODING
    assert lander.finished(X, 6.0) == (FreeBlocks(X),)
    assert lander.state(X) is LandingState.DONE
    assert lander.next_expiry() is None


def test_the_manifest_waits_for_copies_still_under_way() -> None:
    lander = fetching()
    lander.ready(X, 0, REFS, 1.0)
    assert lander.sealed(manifest(), 2.0) == ()
    assert lander.state(X) is LandingState.FETCHING
    assert lander.copied(X, 1, True, 3.0) == (AskLanded(X),)


def test_cached_blocks_are_not_fetched() -> None:
    lander = fetching(num_cached_blocks=2)
    assert lander.ready(X, 2, REFS[2:], 1.0) == (CopyBlocks(X, 1, pairs(2)),)
    assert lander.copied(X, 1, True, 2.0) == ()
    assert lander.sealed(manifest(), 3.0) == (AskLanded(X),)


def test_when_all_is_cached_only_the_manifest_is_needed() -> None:
    assert fetching(num_cached_blocks=3).sealed(manifest(), 1.0) == (AskLanded(X),)


def test_repeated_news_is_no_news() -> None:
    lander = fetching()
    lander.ready(X, 0, REFS[:2], 1.0)
    assert lander.ready(X, 0, REFS[:2], 1.0) == ()
    assert lander.ready(X, 1, REFS[1:], 1.0) == (CopyBlocks(X, 2, pairs(2)),)
    assert lander.copied(X, 1, True, 2.0) == ()
    assert lander.copied(X, 1, False, 2.0) == ()
    lander.sealed(manifest(), 3.0)
    assert lander.sealed(manifest(), 3.0) == ()
    assert lander.reserved(X, (1, 2, 3), 0, 3.0) == ()


@pytest.mark.parametrize("verdict", [Verdict.GONE, None])
def test_without_release_the_copy_is_discarded(verdict: Verdict | None) -> None:
    lander = verified()
    assert lander.verdict(X, verdict, 3.0) == (*LOST, FreeBlocks(X))
    assert lander.verdict(X, Verdict.RELEASED, 3.0) == ()


def test_a_lost_lender_does_not_matter_once_all_is_verified() -> None:
    lander = verified()
    assert lander.source_lost(X, 3.0) == (JoinBatch(X, manifest()),)
    assert lander.verdict(X, Verdict.GONE, 4.0) == ()
    assert lander.state(X) is LandingState.DECODING


def test_a_lost_lender_ends_what_is_not_complete() -> None:
    lander = fetching()
    lander.ready(X, 0, REFS, 1.0)
    assert lander.source_lost(X, 2.0) == (*LOST, QuarantineBlocks(X))


def test_a_refusal_ends_the_fetch_but_not_a_question_under_way() -> None:
    assert fetching().refused(X, 1.0) == (*LOST, FreeBlocks(X))
    assert verified().refused(X, 3.0) == ()


def test_a_wrong_checksum_ends_the_attempt() -> None:
    lander = fetching()
    lander.ready(X, 0, REFS, 1.0)
    assert lander.copied(X, 1, False, 2.0) == (*LOST, FreeBlocks(X))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(manifest(), layout="other"),
        replace(manifest(), num_tokens=9),
        replace(manifest(), blocks=REFS[:2]),
        replace(manifest(), blocks=(*REFS, REFS[0])),
        replace(manifest(), blocks=(replace(REFS[0], generation=8), *REFS[1:])),
        replace(manifest(), blocks=(replace(REFS[0], checksum=0), *REFS[1:])),
        replace(manifest(), first_tokens=()),
        replace(manifest(), first_tokens=(SampledToken(1, 0, 42),)),
        replace(manifest(), first_tokens=(SampledToken(0, 1, 42),)),
    ],
)
def test_a_manifest_that_does_not_fit_is_not_believed(wrong: Manifest) -> None:
    lander = fetching()
    lander.ready(X, 0, REFS[:1], 1.0)
    lander.copied(X, 1, True, 1.0)
    assert lander.sealed(wrong, 2.0) == (*LOST, FreeBlocks(X))


def test_choices_with_tails_have_no_first_token() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(choices=(Choice(0), Choice(1, (9,)))), 0.0, 60.0)
    lander.reserved(X, OWN, 3, 0.0)
    assert lander.sealed(manifest(), 1.0) == (AskLanded(X),)


@pytest.mark.parametrize(("place", "refs"), [(0, (BlockRef(1, 1, 1),)), (3, REFS[:1]), (-1, REFS[:1])])
def test_a_lender_that_contradicts_itself_is_left(place: int, refs: tuple[BlockRef, ...]) -> None:
    lander = fetching()
    lander.ready(X, 0, REFS[:1], 1.0)
    assert lander.ready(X, place, refs, 2.0) == (*LOST, QuarantineBlocks(X))


def test_local_attempts_decode_from_the_start() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    assert lander.attach(attempt(), 0.0, 60.0, local=True) == (StartLocal(X),)
    assert lander.state(X) is LandingState.DECODING
    assert not lander.fetching(X)
    assert lander.finished(X, 1.0) == (FreeBlocks(X),)


def test_an_engine_that_refuses_ends_the_attempt() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 0.0, 60.0)
    assert lander.finished(X, 1.0) == (FreeBlocks(X),)


def test_a_later_attempt_ends_an_earlier_one_silently() -> None:
    lander = fetching()
    assert lander.attach(attempt(LATER), 1.0, 60.0) == (FreeBlocks(X), ReserveBlocks(LATER))
    with pytest.raises(StaleAttempt):
        lander.attach(attempt(), 1.0, 60.0)
    assert lander.reserved(X, OWN, 0, 1.0) == ()


def test_cancel_works_in_every_state_and_before_the_attempt_came() -> None:
    for lander in (fetching(), verified()):
        assert lander.cancel(X, 3.0) == (FreeBlocks(X),)
        assert lander.cancel(X, 3.0) == ()
    early = Lander(LAYOUT, TIMEOUTS)
    assert early.cancel(X, 0.0) == ()
    with pytest.raises(StaleAttempt):
        early.attach(attempt(), 1.0, 60.0)
    assert early.state(X) is LandingState.DONE


def test_cancelling_an_earlier_attempt_leaves_a_later_one_alone() -> None:
    lander = fetching()
    lander.attach(attempt(LATER), 1.0, 60.0)
    assert lander.cancel(X, 2.0) == ()
    assert lander.state(LATER) is LandingState.WAITING
