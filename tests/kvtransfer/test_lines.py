"""How long connections are kept, and what becomes of one that could not be made."""

import asyncio

import pytest

from kvtransfer.lines import Endpoint, Lines
from kvtransfer.transports.contract import FetchingTransport, PoolBytes
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.table import connect
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.pools import LAYOUT, descriptors, make_pool


def endpoint_of(lender: ShmLender) -> Endpoint:
    async def describe() -> tuple[str, list[tuple[str, str, bytes]]]:
        return LAYOUT, [("shm", lender.endpoint(), lender.ticket(FETCHER_EPOCH))]

    return Endpoint("prefill:1", EPOCH, describe)


class Ended(asyncio.Event):
    """Set once the connection made through `reach` was closed."""

    async def reach(self, name: str, endpoint: str, hello: Hello, own: PoolBytes, stall_s: float) -> FetchingTransport:
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
    lender, own, ended = ShmLender(make_pool(4, 100, seed=1), EPOCH), make_pool(4, 100), Ended()
    await lender.start()
    lines = Lines(own, FETCHER_EPOCH, ("shm",), ended.reach, stall_s=3.0, warn=lambda _: None, idle_s=0.02)
    line = await lines.reach(endpoint_of(lender))
    line.num_fetches = 1
    await asyncio.sleep(0.06)
    assert not ended.is_set()
    line.num_fetches = 0
    await ended.wait()
    await lines.close()
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
    assert descriptors() == before
