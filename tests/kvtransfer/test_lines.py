"""How long connections are kept, and what becomes of one that could not be made."""

import asyncio

import pytest

from kvtransfer.lines import Connect, Endpoint, Lines
from kvtransfer.transports.contract import FetchingTransport, PoolBytes
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.table import connect
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.pools import LAYOUT, descriptors, make_pool


def lines_over(own: PoolBytes, connect: Connect, idle_s: float = 600.0) -> Lines:
    return Lines(own, FETCHER_EPOCH, ("shm",), connect, stall_s=3.0, warn=lambda _: None, idle_s=idle_s)


def endpoint_of(lender: ShmLender, address: str = "prefill:1") -> Endpoint:
    async def describe() -> tuple[str, list[tuple[str, str, bytes]]]:
        return LAYOUT, [("shm", lender.endpoint(), lender.ticket(FETCHER_EPOCH))]

    return Endpoint(address, EPOCH, describe)


class Ended(asyncio.Event):
    """Set once the connection made through `reach` was closed."""

    async def reach(self, name: str, endpoint: str, hello: Hello, own: Pool, stall_s: float) -> FetchingTransport:
        transport = await connect(name, endpoint, hello, own, stall_s)
        close = transport.close

        async def close_and_say() -> None:
            await close()
            self.set()

        transport.close = close_and_say  # type: ignore[method-assign]
        return transport


async def test_an_unused_line_is_given_up_after_a_while() -> None:
    lender, own, ended = ShmLender(make_pool(4, 100, seed=1), EPOCH), make_pool(4, 100), Ended()
    await lender.start()
    lines = Lines(own, FETCHER_EPOCH, ("shm",), ended.reach, stall_s=3.0, warn=lambda _: None, idle_s=0.05)
    line = await lines.reach(endpoint_of(lender))
    assert [measured.transport for measured in line.ranked] == lines.transports()
    await ended.wait()
    await asyncio.sleep(0)
    assert lines.transports() == []
    again = await lines.reach(endpoint_of(lender))
    assert len(again.ranked) == 1
    await lines.close()
    await lender.close()


async def test_a_line_in_use_is_kept() -> None:
    own, used_ended, other_ended = make_pool(4, 100), Ended(), Ended()
    lenders = [ShmLender(make_pool(4, 100, seed=1), EPOCH) for _ in range(2)]
    for lender in lenders:
        await lender.start()
    ended = iter((used_ended, other_ended))
    lines = lines_over(own, lambda *a: next(ended).reach(*a), idle_s=0.05)
    used = await lines.reach(endpoint_of(lenders[0], "prefill:1"))
    used.num_fetches = 1
    await lines.reach(endpoint_of(lenders[1], "prefill:2"))
    await other_ended.wait()
    assert not used_ended.is_set()
    used.num_fetches = 0
    await used_ended.wait()
    await lines.close()
    for lender in lenders:
        await lender.close()


async def test_a_bug_in_describing_reaches_the_fetch_and_is_not_remembered() -> None:
    lender, own, ended = ShmLender(make_pool(4, 100, seed=1), EPOCH), make_pool(4, 100), Ended()
    await lender.start()
    lines = Lines(own, FETCHER_EPOCH, ("shm",), ended.reach, stall_s=3.0, warn=lambda _: None)

    async def wrong() -> tuple[str, list[tuple[str, str, bytes]]]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lines.reach(Endpoint("prefill:1", EPOCH, wrong))
    assert len((await lines.reach(endpoint_of(lender))).ranked) == 1
    await lines.close()
    await lender.close()


async def test_closing_leaves_nothing_open() -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    before = descriptors()
    lender = ShmLender(source, EPOCH)
    await lender.start()
    lines = Lines(own, FETCHER_EPOCH, ("shm",), Ended().reach, stall_s=3.0, warn=lambda _: None)
    waiting = asyncio.create_task(lines.reach(endpoint_of(lender)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await lines.close()
    await asyncio.wait([waiting])
    assert waiting.exception() is not None
    await lender.close()
    assert descriptors() <= before
