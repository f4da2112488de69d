"""A call's messages: their order, whoever sends them, and what becomes of one that fails."""

import asyncio

import pytest

from router.client_stream import ClientStream, Departures
from router.patience import Patience, StalledReader
from tests.router.script import PATIENCE_S

NEVER, SOON = 1000.0, 0.02


class Call:
    """A call that is written to; while it is `stalled` nothing leaves."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.stalled = False
        self.broken: Exception | None = None
        self._flows: list[asyncio.Future[None]] = []

    async def write(self, data: str) -> None:
        if self.broken is not None:
            raise self.broken
        self.written.append(data)
        if self.stalled:
            self._flows.append(asyncio.get_running_loop().create_future())
            await self._flows[-1]

    def flow(self, error: Exception | None = None) -> None:
        self.stalled = False
        for waiting in self._flows:
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)
        self._flows.clear()

    def stream(self, patience: Patience, departures: Departures | None = None) -> ClientStream[int]:
        return ClientStream(lambda number: (str(number),), self.write, patience, departures or Departures())


async def test_what_is_pushed_leaves_in_the_next_turn_without_a_task() -> None:
    call, before = Call(), asyncio.all_tasks()
    async with Patience(NEVER) as patience:
        stream = call.stream(patience)
        stream.push((1,))
        assert (call.written, stream.ready) == ([], False)
        assert asyncio.all_tasks() == before
        await asyncio.sleep(0)
        assert (call.written, stream.ready) == (["1"], True)


async def test_all_streams_of_a_step_leave_together_and_in_order() -> None:
    calls, departures = [Call() for _ in range(3)], Departures()
    async with Patience(NEVER) as patience:
        streams = [call.stream(patience, departures) for call in calls]
        for number, stream in enumerate(streams):
            stream.push((number, number + 10))
        assert not any(call.written for call in calls)
        await asyncio.sleep(0)
    assert [call.written for call in calls] == [["0", "10"], ["1", "11"], ["2", "12"]]


async def test_a_write_comes_after_what_was_pushed() -> None:
    call = Call()
    async with asyncio.timeout(PATIENCE_S), Patience(NEVER) as patience:
        stream = call.stream(patience)
        call.stalled = True
        stream.push((1, 2))
        writing = asyncio.create_task(stream.write((3, 4)))
        await asyncio.sleep(0)
        assert call.written == ["1"]
        call.flow()
        await writing
    assert call.written == ["1", "2", "3", "4"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_failed_push_is_told_to_who_comes_next(at_once: bool) -> None:
    call, error = Call(), LookupError("gone")
    async with asyncio.timeout(PATIENCE_S), Patience(NEVER) as patience:
        stream = call.stream(patience)
        if at_once:
            call.broken = error
        call.stalled = True
        stream.push((1,))
        await asyncio.sleep(0)
        if not at_once:
            call.flow(error)
            await asyncio.sleep(0)
        assert not stream.ready
        with pytest.raises(LookupError, match="gone"):
            await stream.sent()
        with pytest.raises(LookupError, match="gone"):
            await stream.write((2,))
    assert "2" not in call.written


@pytest.mark.parametrize("num_messages", [1, 2])
async def test_a_pushed_message_left_unread_ends_the_scope(num_messages: int) -> None:
    call = Call()
    call.stalled = True

    async def work() -> None:
        async with asyncio.timeout(PATIENCE_S), Patience(SOON) as patience:
            call.stream(patience).push(tuple(range(num_messages)))
            await asyncio.sleep(NEVER)

    with pytest.raises(StalledReader):
        await work()


async def test_one_that_was_read_leaves_no_clock_running() -> None:
    call = Call()
    async with Patience(SOON) as patience:
        stream = call.stream(patience)
        stream.push((1,))
        await asyncio.sleep(3 * SOON)
        assert stream.ready


async def test_who_waits_for_it_may_be_cancelled() -> None:
    """Then the message leaves all the same, and nobody is told."""
    call = Call()
    async with Patience(NEVER) as patience:
        stream = call.stream(patience)
        call.stalled = True
        stream.push((1,))
        waiting = asyncio.create_task(stream.sent())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        call.flow()
        await asyncio.sleep(0)
        assert stream.ready
