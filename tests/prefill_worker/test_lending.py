"""Loans on the event loop: what fetchers and the router hear, in which order, and when blocks go back."""

import asyncio

import pytest

from common.engine.messages import BlocksReady, Command, Drop, FirstTokens, Sealed, Submit
from common.types.errors import InvalidRequest, StaleAttempt
from common.types.handoff import LoanEnd, Verdict
from common.types.kv import BlockRef, Manifest
from common.types.sampling import SampledToken
from common.types.timeouts import Timeouts
from kvtransfer.handoff.actions import Closed
from prefill_worker.answers import LoanAnswers
from prefill_worker.lending import Lending, PrefillRun
from tests.engine.attempts import attempt

X = attempt("r", range(10))
REFS = tuple(BlockRef(block, 1, 100 + block) for block in range(3))
FIRST = FirstTokens(X.id, (SampledToken(0, 0, 7),), 0.5)
MANIFEST = Manifest(X.id, "layout", 10, REFS, FIRST.tokens)
SEALED = Sealed(MANIFEST)


def opened() -> tuple[Lending, PrefillRun, list[Command]]:
    posted: list[Command] = []
    lending = Lending(posted.append, Timeouts())
    run = lending.open(X, 20.0, lend=True, router_epoch=1)
    assert posted == [Submit(X, True)]
    posted.clear()
    return lending, run, posted


async def test_blocks_are_told_as_they_become_ready_and_the_manifest_ends_it() -> None:
    lending, _, _ = opened()
    updates = lending.follow(X.id, 0)
    for place in range(2):
        lending.on_events((BlocksReady(X.id, place, REFS[place : place + 1]),))
        assert await anext(updates) == (place, [REFS[place]])
    lending.on_events((FIRST, SEALED))
    assert await anext(updates) == MANIFEST
    with pytest.raises(StopAsyncIteration):
        await anext(updates)


async def test_what_is_sealed_already_is_told_in_one() -> None:
    lending, _, _ = opened()
    lending.on_events((BlocksReady(X.id, 0, REFS), FIRST, SEALED))
    assert [update async for update in lending.follow(X.id, 1)] == [MANIFEST]


async def test_fetchers_are_woken_before_the_router() -> None:
    lending, run, _ = opened()
    heard: list[object] = []

    async def hear_router() -> None:
        for _ in range(2):
            heard.append(await run.events.get())

    async def hear_fetcher() -> None:
        heard.extend([update async for update in lending.follow(X.id, 0)])

    tasks = [asyncio.create_task(work()) for work in (hear_router, hear_fetcher)]
    await asyncio.sleep(0)
    lending.on_events((FIRST, SEALED))
    await asyncio.gather(*tasks)
    assert heard == [MANIFEST, FIRST, SEALED]


async def test_the_verdict_leaves_before_what_it_brings_about() -> None:
    lending, run, posted = opened()
    lending.on_events((FIRST, SEALED))
    assert lending.landed(X.id) is Verdict.RELEASED
    assert not posted
    assert not lending.lends(X.id, 0, 1), "the loan itself has ended at once"
    assert lending.landed(X.id) is Verdict.RELEASED
    await asyncio.sleep(0)
    assert posted == [Drop(X.id)]
    assert [run.events.get_nowait() for _ in range(3)] == [FIRST, SEALED, Closed(X.id, LoanEnd.RELEASED)]
    assert lending.idle.is_set()


async def test_a_router_that_hangs_up_between_a_verdict_and_its_consequences_changes_nothing() -> None:
    lending, _, posted = opened()
    lending.on_events((FIRST, SEALED))
    assert lending.landed(X.id) is Verdict.RELEASED
    lending.cancel(X.id)
    await asyncio.sleep(0)
    assert posted == [Drop(X.id)], "dropped once"
    assert lending.idle.is_set()


async def test_who_follows_a_loan_that_ends_is_refused() -> None:
    lending, _, posted = opened()
    following = asyncio.ensure_future(anext(lending.follow(X.id, 0)))
    await asyncio.sleep(0)
    lending.cancel(X.id)
    with pytest.raises(StaleAttempt):
        await following
    assert posted == [Drop(X.id)]
    assert lending.landed(X.id) is Verdict.GONE


async def test_answers_are_for_this_boot_only_and_never_for_rubbish() -> None:
    lending, _, _ = opened()
    answers = LoanAnswers(lending, 5)
    with pytest.raises(StaleAttempt):
        answers.check(6)
    with pytest.raises(StaleAttempt):
        answers.ask(b"")
    with pytest.raises(InvalidRequest):
        answers.ask(b"\xff\xff\xff")
