"""The same transports under uvloop, with threads and descriptors counted, and out of descriptors."""

import asyncio
import contextlib
import os
import resource
import threading
from collections.abc import Iterator

import pytest
import uvloop

from kvtransfer.pull import Endpoint, Puller
from kvtransfer.transports.contract import LendingTransport, TransportFailed
from kvtransfer.transports.table import lending_transports
from kvtransfer.transports.tcp_fetch import TcpFetcher
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH, KINDS, Gate, carrying, connect, hello_for
from tests.kvtransfer.lender_process import lending_process
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, Loans, check_copied, descriptors, make_pool, pairs_of, snapshot


async def fetch_some(kind: str) -> None:
    async with carrying(kind, num_free=3) as c:
        before, pairs = snapshot(c.own), pairs_of(c.source, range(16), range(16, 0, -1))
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs))
        await c.gate.held.wait()
        c.gate.release()
        await fetch
        check_copied(c.source, c.own, pairs, before)
        assert await c.fetcher.measure(3) > 0
        await c.fetcher.fence()


@pytest.mark.parametrize("kind", KINDS)
def test_every_transport_runs_under_uvloop(kind: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fetch_some(kind))


def test_under_uvloop_lenders_serve_many_and_leave_nothing() -> None:
    before, threads = descriptors(), threading.active_count()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(pull_from_everything())
    assert descriptors() <= before
    assert threading.active_count() == threads


async def pull_from_everything() -> None:
    source, loans = make_pool(40, 30_011, seed=1), Loans()
    lenders = lending_transports(("shm", "tcp"), source, EPOCH, loans.lends)
    for lender in lenders:
        await lender.start()
    for names in (("shm", "tcp"), ("tcp",), ("shm",)):
        own = make_pool(40, 30_011)
        puller, before = Puller(own, FETCHER_EPOCH, transports=names), snapshot(own)
        pairs = pairs_of(source, range(40), range(39, -1, -1))
        copies = (puller.fetch(endpoint_of(lenders), ATTEMPT, pairs[i : i + 4]) for i in range(0, 40, 4))
        reports = await asyncio.gather(*copies)
        assert {report.transport for report in reports} <= set(names)
        check_copied(source, own, pairs, before)
        await puller.close()
    for lender in lenders:
        await lender.close()


def endpoint_of(lenders: tuple[LendingTransport, ...]) -> Endpoint:
    async def describe() -> tuple[str, list[tuple[str, str, bytes]]]:
        return LAYOUT, [(lender.name, lender.endpoint(), lender.ticket(FETCHER_EPOCH)) for lender in lenders]

    return Endpoint("prefill:1", EPOCH, describe)


def test_shared_memory_is_offered_for_memfds_only() -> None:
    pool = make_pool(2, 8)
    assert [lender.name for lender in lending_transports(("shm", "tcp"), pool, EPOCH, Loans().lends)] == ["shm", "tcp"]
    assert [lender.name for lender in lending_transports(("shm",), pool, EPOCH, Loans().lends)] == ["shm"]
    assert lending_transports((), pool, EPOCH, Loans().lends) == ()


@contextlib.contextmanager
def few_descriptors(num_left: int) -> Iterator[None]:
    """Takes all of this process's descriptors but so many."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 40, limit[1]))
    try:
        with contextlib.suppress(OSError):
            while len(taken) < 200:
                taken.append(os.dup(0))
        for _ in range(num_left):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        for descriptor in taken:
            os.close(descriptor)


@pytest.mark.parametrize(("kind", "num_left"), [("shm", 0), ("shm", 1), ("tcp", 0)])
async def test_a_fetcher_out_of_descriptors_fails_and_leaks_none(kind: str, num_left: int) -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    async with lending_process(kind, 4, 100) as child:
        before = descriptors()
        with few_descriptors(num_left), pytest.raises(TransportFailed):
            await connect(kind, child.endpoint, child.hello(own), own, Gate(None))
        assert descriptors() <= before
        fetcher = await connect(kind, child.endpoint, child.hello(own), own, Gate(None))
        await fetcher.fetch(ATTEMPT, pairs_of(source, [1], [1]))
        await fetcher.close()


async def test_a_lender_out_of_descriptors_serves_again_when_there_are_some() -> None:
    source, own, loans = make_pool(4, 100, seed=1), make_pool(4, 100), Loans()
    (lender,) = lending_transports(("tcp",), source, EPOCH, loans.lends)
    await lender.start()
    old = await connect("tcp", lender.endpoint(), hello_for(lender, own), own, Gate(None))
    with few_descriptors(1):
        # The fetcher's own end takes the one that is left, and the lender's end finds none.
        waiting = asyncio.create_task(TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own))
        await old.fetch(ATTEMPT, pairs_of(source, [1], [1]))
        assert not waiting.done()
    new = await waiting
    await new.fetch(ATTEMPT, pairs_of(source, [2], [2]))
    for fetcher in (old, new):
        await fetcher.close()
    await lender.close()
