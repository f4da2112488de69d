"""Threads that sit behind all others: who does, when they come forward, and what stays as it was without the right to.

Threads here are real, and so are their policies; how long they ran and waited is told by files of a stand-in.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.engine import back_seat
from common.engine.back_seat import FORWARD_S, LAST_OF_ALL, STARVED_NICE, BackSeat


class Row:
    """One thread that computes, and a time that only the test moves."""

    def __init__(self, tasks: Path) -> None:
        self.tasks = tasks
        self.now = 0.0
        self.worker = ThreadPoolExecutor(1)
        self.id = self.worker.submit(threading.get_native_id).result()
        self.tell(1.0, 0.0)

    def tell(self, ran_s: float, waited_s: float) -> None:
        folder = self.tasks / str(self.id)
        folder.mkdir(exist_ok=True)
        (folder / "schedstat").write_text(f"{int(ran_s * 1e9)} {int(waited_s * 1e9)} 7\n")

    def seat(self, nice: int = LAST_OF_ALL) -> BackSeat:
        seat = BackSeat(nice, lambda: self.now, self.tasks)
        self.worker.submit(seat.take, frozenset()).result()
        return seat

    @property
    def policy(self) -> int:
        return os.sched_getscheduler(self.id)

    @property
    def nice(self) -> int:
        return os.getpriority(os.PRIO_PROCESS, self.id)


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Row]:
    """Where the right to come forward is there."""
    monkeypatch.setattr(back_seat, "_may_return", lambda: True)
    row = Row(tmp_path)
    yield row
    row.worker.shutdown()


may_return = pytest.mark.skipif(not back_seat._may_return(), reason="the system lets no thread come forward again here")


def test_nobody_moves_unasked(row: Row) -> None:
    before = row.nice
    row.seat(nice=0)
    assert (row.policy, row.nice) == (os.SCHED_OTHER, before)


def test_niceness_is_niceness(row: Row) -> None:
    row.seat(nice=19)
    assert (row.policy, row.nice) == (os.SCHED_OTHER, 19)


def test_the_last_of_all_sit_in_the_background(row: Row) -> None:
    row.seat()
    assert row.policy == os.SCHED_IDLE
    assert row.nice >= STARVED_NICE


def test_who_was_there_before_keeps_its_seat(tmp_path: Path) -> None:
    row = Row(tmp_path)
    seat = BackSeat(LAST_OF_ALL, tasks=tmp_path)
    row.worker.submit(seat.take, seat.threads()).result()
    assert row.policy == os.SCHED_OTHER
    row.worker.shutdown()


def test_without_the_right_to_come_back_it_is_niceness(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_seat, "_may_return", lambda: False)
    seat = row.seat()
    assert row.policy == os.SCHED_OTHER
    assert row.nice >= STARVED_NICE
    row.tell(1.0, 100.0)
    seat.look()
    assert row.policy == os.SCHED_OTHER


def test_where_waiting_is_not_counted_it_is_niceness(row: Row) -> None:
    (row.tasks / str(row.id) / "schedstat").unlink()
    row.seat()
    assert row.policy == os.SCHED_OTHER


def test_waiting_less_than_running_is_what_the_seat_is_for(row: Row) -> None:
    row.tell(1.0, 50.0)  # before it sat down
    seat = row.seat()
    row.tell(2.0, 50.9)
    seat.look()
    row.tell(2.0, 51.3)  # nothing to do, and little waiting
    seat.look()
    assert row.policy == os.SCHED_IDLE


@may_return
def test_who_starves_comes_forward_for_a_while(row: Row) -> None:
    seat = row.seat()
    row.tell(1.1, 0.9)
    seat.look()
    assert row.policy == os.SCHED_OTHER
    row.now += FORWARD_S - 1
    row.tell(9.0, 40.0)
    seat.look()
    assert row.policy == os.SCHED_OTHER
    row.now += 2
    seat.look()
    assert row.policy == os.SCHED_IDLE
    seat.look()  # what they waited for meanwhile is past
    assert row.policy == os.SCHED_IDLE
    row.tell(9.0, 41.0)
    seat.look()
    assert row.policy == os.SCHED_OTHER


@may_return
def test_a_thread_started_later_comes_forward_with_the_others(row: Row) -> None:
    seat = row.seat()
    later = row.worker.submit(ThreadPoolExecutor, 1).result()
    id = row.worker.submit(lambda: later.submit(threading.get_native_id).result()).result()
    (row.tasks / str(id)).mkdir()
    assert os.sched_getscheduler(id) == os.SCHED_IDLE
    row.tell(1.0, 2.0)
    seat.look()
    assert os.sched_getscheduler(id) == os.SCHED_OTHER
    later.shutdown()


def test_a_thread_that_has_ended_is_no_trouble(row: Row) -> None:
    seat = row.seat()
    row.worker.shutdown()
    row.tell(1.0, 100.0)
    seat.look()


def test_the_right_to_come_back_is_tried_and_not_assumed() -> None:
    before = os.sched_getscheduler(0)
    assert isinstance(back_seat._may_return(), bool)
    assert os.sched_getscheduler(0) == before
