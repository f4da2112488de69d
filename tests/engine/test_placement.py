"""A thread that stays on its own cores, and one that lets others go first."""

import ctypes
import os
import threading
from types import SimpleNamespace

import pytest
import torch

from common.engine import placement
from common.engine.placement import Aside, give_way, settle_thread
from common.types.errors import StartupError


def test_only_the_calling_thread_moves() -> None:
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    seen: list[set[int]] = []

    def run() -> None:
        settle_thread((core,), torch.get_num_threads())
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [{core}]
    assert os.sched_getaffinity(0) == allowed


def test_a_core_that_is_not_there() -> None:
    with pytest.raises(StartupError, match="may not run on cores 99999"):
        settle_thread((99999,), 1)


def test_giving_way_asks_the_system_and_lets_go_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is one whose calls run without the interpreter's lock."""
    assert type(placement._libc) is ctypes.CDLL
    asked: list[str] = []
    monkeypatch.setattr(placement, "_libc", SimpleNamespace(sched_yield=lambda: asked.append("sched_yield")))
    give_way()
    assert asked == ["sched_yield"]


def test_giving_way_on_a_core_of_ones_own_comes_back() -> None:
    done = threading.Event()

    def run() -> None:
        settle_thread((max(os.sched_getaffinity(0)),), torch.get_num_threads())
        for _ in range(100):
            give_way()
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done.is_set()


def test_who_waits_for_the_core_runs_before_the_next_step() -> None:
    """Two threads on one core hand a turn to each other."""
    core, turns = max(os.sched_getaffinity(0)), list[int]()

    def run(number: int) -> None:
        settle_thread((core,), torch.get_num_threads())
        while len(turns) < 20:
            if len(turns) % 2 == number:
                turns.append(number)
            give_way()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns[:20] == [0, 1] * 10


def test_who_stands_aside_leaves_an_engine_its_cores_while_it_works() -> None:
    """Judged by what a machine with four cores would be asked for."""
    asked: list[set[int]] = []
    busy = [True, False, True]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
        patch.setattr(os, "sched_setaffinity", lambda pid, cores: asked.append(set(cores)))
        aside = Aside((0, 1), busy=lambda: busy.pop(0))
        for _ in range(3):
            aside()
    assert asked == [{2, 3}, {0, 1, 2, 3}, {2, 3}]


@pytest.mark.parametrize("cores", [(), (0, 1), (0, 1, 2)])
def test_who_has_nowhere_to_go_stays(cores: tuple[int, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
        patch.setattr(os, "sched_setaffinity", lambda pid, cores: pytest.fail("moved"))
        Aside(cores, busy=lambda: True)()


def test_cores_that_are_taken_away_are_no_fault_of_the_thread() -> None:
    def refuse(pid: int, cores: set[int]) -> None:
        raise OSError(22, "Invalid argument")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
        patch.setattr(os, "sched_setaffinity", refuse)
        Aside((0,), busy=lambda: True)()
