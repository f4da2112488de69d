"""The thread that writes: order, bookkeeping, and bugs that must not pass in silence."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import ChecksumMismatch, TransportFailed
from kvtransfer.transports.lane import Copy, Lane, Outcome

ID = AttemptId("r-1", 1)


def copy_of(*checksums: int, id: AttemptId = ID) -> Copy:
    return Copy(id, [Pair(BlockRef(i, 1, checksum), i) for i, checksum in enumerate(checksums)])


def test_blocks_count_as_landed_up_to_the_first_wrong_one() -> None:
    copy = copy_of(10, 11, 12, 13)
    assert copy.check([10]) is None
    assert copy.num_landed == 1
    mismatch = copy.check([11, 99, 13])
    assert isinstance(mismatch, ChecksumMismatch)
    assert mismatch.position == 2
    assert copy.num_landed == 2


async def test_copies_run_one_after_the_other_in_order() -> None:
    lane, seen = Lane("test"), []

    def work(copy: Copy) -> Outcome:
        seen.append((copy.attempt.number, threading.current_thread().name))
        return copy.check([])

    await asyncio.gather(*(lane.run(copy_of(id=AttemptId("r", i)), work) for i in range(20)))
    assert [number for number, _ in seen] == list(range(20))
    assert len({name for _, name in seen}) == 1
    await lane.fence()


async def test_each_copy_begins_by_placing_its_thread() -> None:
    seen: list[tuple[str, int]] = []
    lane = Lane("test", lambda: seen.append(("placed", threading.get_ident())))

    def work(copy: Copy) -> Outcome:
        seen.append(("copied", threading.get_ident()))
        return copy.check([])

    for number in range(2):
        await lane.run(copy_of(id=AttemptId("r", number)), work)
    assert [what for what, _ in seen] == ["placed", "copied"] * 2
    assert {thread for _, thread in seen} == {seen[0][1]}
    assert seen[0][1] != threading.get_ident()
    await lane.fence()


async def test_a_failure_carries_what_had_landed() -> None:
    lane = Lane("test")

    def work(copy: Copy) -> Outcome:
        copy.check([1, 2])
        return TransportFailed("gone", refused=True)

    with pytest.raises(TransportFailed, match="gone") as caught:
        await lane.run(copy_of(1, 2, 3), work)
    assert caught.value.landed == {0, 1}
    assert caught.value.refused
    await lane.fence()


async def test_a_copy_that_stops_early_has_failed() -> None:
    lane = Lane("test")
    with pytest.raises(TransportFailed, match="fenced"):
        await lane.run(copy_of(1, 2), lambda copy: copy.check([1]))
    await lane.fence()


async def test_a_bug_in_a_copy_reaches_whoever_waits() -> None:
    lane = Lane("test")

    def work(copy: Copy) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lane.run(copy_of(1), work)
    assert lane.in_flight(ID) == 0
    await lane.fence()


async def test_a_bug_in_a_cancelled_copy_reaches_the_loop() -> None:
    lane, go = Lane("test"), threading.Event()
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

    def work(copy: Copy) -> Outcome:
        go.wait(60)
        raise ZeroDivisionError

    run = asyncio.create_task(lane.run(copy_of(1), work))
    await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait([run])
    go.set()
    await lane.drained(ID)
    await lane.fence()
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


async def test_a_fence_waits_for_readers_too() -> None:
    lane, go, reading = Lane("test"), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> float:
        loop.call_soon_threadsafe(reading.set)
        go.wait(60)
        return 1.5

    apart = asyncio.create_task(lane.apart(read))
    await reading.wait()
    fence = asyncio.create_task(lane.fence())
    await asyncio.sleep(0)
    assert not fence.done()
    go.set()
    await fence
    assert await apart == 1.5
    with pytest.raises(TransportFailed):
        await lane.apart(read)
    with pytest.raises(TransportFailed):
        await lane.run(copy_of(), lambda copy: None)


@pytest.mark.parametrize("error", [TransportFailed("the lender closed the connection"), ZeroDivisionError()])
async def test_of_an_abandoned_reading_only_bugs_are_heard(error: Exception) -> None:
    """The loop's handler ends a worker: a lender that dies while it is measured must not."""
    lane, go, reading = Lane("test"), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))

    def read() -> float:
        loop.call_soon_threadsafe(reading.set)
        go.wait(60)
        raise error

    apart = asyncio.create_task(lane.apart(read))
    await reading.wait()
    apart.cancel()
    await asyncio.wait([apart])
    go.set()
    await lane.fence()
    del apart  # a failure that nobody asked for is reported when it is collected
    gc.collect()
    await asyncio.sleep(0)
    assert [report["exception"] for report in reports] == ([] if isinstance(error, TransportFailed) else [error])
