"""A message left unread: who is cut, who is not, and what else may end the scope."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from common.types.errors import Cancelled
from router.patience import Patience, StalledReader
from tests.router.script import PATIENCE_S

SHORT = 0.02
LONG = 1000.0


async def watched(limit_s: float, work: Callable[[Patience], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE_S), Patience(limit_s) as patience:
        await work(patience)


async def stall(patience: Patience) -> None:
    patience.begin()
    await asyncio.sleep(LONG)


async def test_a_message_unread_for_too_long_ends_the_scope() -> None:
    with pytest.raises(StalledReader, match=r"read nothing for 0\.02 s") as caught:
        await watched(SHORT, stall)
    assert isinstance(caught.value, Cancelled), "nobody is left to be told of a failure"


async def test_a_stall_after_many_messages_counts_too() -> None:
    async def work(patience: Patience) -> None:
        for _ in range(3):
            patience.begin()
            await asyncio.sleep(0)
            patience.end()
            await asyncio.sleep(2 * SHORT)
        await stall(patience)

    with pytest.raises(StalledReader):
        await watched(SHORT, work)


async def test_no_message_is_no_reader_to_wait_for() -> None:
    """However long the work itself takes."""
    async with Patience(SHORT) as patience:
        await asyncio.sleep(4 * SHORT)
        patience.begin()
        patience.end()
        await asyncio.sleep(4 * SHORT)


async def test_a_reader_that_reads_at_last_in_time_begins_anew() -> None:
    """Many short waits are longer together than the limit."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Patience(1.0) as patience:
        while loop.time() < began + 1.5:
            patience.begin()
            await asyncio.sleep(0.01)
            patience.end()


async def test_the_loop_inside_sees_a_cancellation_and_may_clean_up() -> None:
    cleaned = []

    async def work(patience: Patience) -> None:
        try:
            await stall(patience)
        except asyncio.CancelledError:
            cleaned.append(True)
            raise

    with pytest.raises(StalledReader):
        await watched(SHORT, work)
    assert cleaned == [True]
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling(), "the task itself goes on"


async def test_an_error_inside_passes_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with Patience(LONG):
            raise LookupError


async def test_a_cancellation_from_outside_passes_as_it_is() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with Patience(LONG) as patience:
            patience.begin()
            entered.set()
            await asyncio.sleep(LONG)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_inside_is_not_the_readers() -> None:
    async def work(patience: Patience) -> None:
        async with asyncio.timeout(SHORT):
            await stall(patience)

    with pytest.raises(TimeoutError):
        await watched(LONG, work)


async def test_nothing_rings_after_the_end() -> None:
    rung: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: rung.append(context))
    async with Patience(SHORT) as patience:
        patience.begin()
    await asyncio.sleep(3 * SHORT)
    assert rung == []


async def test_many_scopes_beside_each_other() -> None:
    """Only those who stall are cut."""

    async def one(stalls: bool) -> bool:
        try:
            async with Patience(0.05) as patience:
                patience.begin()
                if not stalls:
                    patience.end()
                await asyncio.sleep(0.15)
        except StalledReader:
            return True
        return False

    wanted = [place % 3 == 0 for place in range(30)]
    assert await asyncio.gather(*map(one, wanted)) == wanted
