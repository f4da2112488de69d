"""Open and closed loops against a target on paper."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from loadtest.bench.drive import Drive
from loadtest.bench.record import Planned, Record
from tests.bench.records import PaperTarget, until


def requests(num: int | None, gap_s: float = 0.0) -> Iterator[Planned]:
    for number in count() if num is None else range(num):
        yield Planned(number, number * gap_s, (1, 2), 2, 5)


async def test_a_closed_loop_keeps_as_many_going_as_it_may() -> None:
    target = PaperTarget()
    drive = Drive(target, requests(20), 4, 0.0)
    await drive.run(open_loop=False)
    assert target.most == 4
    assert [planned.number for planned in target.sent] == list(range(20))
    assert all(record.ok and record.num_output == 5 for record in drive.progress.records)


async def test_an_open_loop_waits_for_nobody() -> None:
    target = PaperTarget()
    target.gate.clear()
    drive = Drive(target, requests(9), None, 0.0)
    running = asyncio.create_task(drive.run(open_loop=True))
    await until(lambda: target.num_now == 9)
    assert drive.progress.num_running == 9
    target.gate.set()
    await running
    assert drive.progress.num_running == 0


async def test_an_open_loop_with_a_limit_waits_for_room() -> None:
    target = PaperTarget()
    target.gate.clear()
    drive = Drive(target, requests(9), 2, 0.0)
    running = asyncio.create_task(drive.run(open_loop=True))
    await until(lambda: target.num_now == 2)
    target.gate.set()
    await running
    assert (target.most, len(target.sent)) == (2, 9)


async def test_requests_are_due_at_their_times() -> None:
    drive = Drive(PaperTarget(), requests(3, gap_s=0.01), None, 0.0)
    await drive.run(open_loop=True)
    begin = drive.progress.begin_s
    assert [record.planned_s - begin for record in drive.progress.records] == pytest.approx([0.0, 0.01, 0.02])


async def test_a_duration_ends_a_closed_loop_without_end() -> None:
    drive = Drive(PaperTarget(), requests(None), 3, 0.02)
    await drive.run(open_loop=False)
    assert drive.progress.records
    assert all(record.ok for record in drive.progress.records)


@pytest.mark.parametrize("open_loop", [True, False])
async def test_stopping_ends_what_runs_and_begins_nothing(open_loop: bool) -> None:
    target = PaperTarget()
    target.gate.clear()
    drive = Drive(target, requests(None, gap_s=0.001), 3, 0.0)
    running = asyncio.create_task(drive.run(open_loop=open_loop))
    await until(lambda: target.num_now == 3)
    drive.stop()
    await running
    assert drive.stopped
    assert target.num_now == drive.progress.num_running == 0
    assert {record.error for record in drive.progress.records} == {"interrupted"}


async def test_a_fault_of_the_target_itself_is_not_hidden() -> None:
    class Broken(PaperTarget):
        async def send(self, planned: Planned, record: Record) -> None:
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await Drive(Broken(), requests(1), 1, 0.0).run(open_loop=False)
