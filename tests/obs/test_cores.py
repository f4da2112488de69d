"""Cores as an operator writes them, and a thread that keeps to them."""

import os
import threading

import pytest

from common.obs.cores import keep_to, parse_cores
from common.types.errors import StartupError


@pytest.mark.parametrize(
    ("text", "cores"),
    [("", ()), ("0", (0,)), ("3,1", (1, 3)), ("0-3", (0, 1, 2, 3)), ("0-1, 4 ,8-9", (0, 1, 4, 8, 9)), ("2,2", (2,))],
)
def test_lists_of_cores(text: str, cores: tuple[int, ...]) -> None:
    assert parse_cores(text) == cores


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1;2", "0x1", "1--2", "123456789"])
def test_what_is_no_list_of_cores(text: str) -> None:
    with pytest.raises(StartupError, match="not a list of cores"):
        parse_cores(text)


def test_threads_started_from_then_on_keep_to_them_too() -> None:
    core = max(os.sched_getaffinity(0))
    seen: list[set[int]] = []

    def run() -> None:
        keep_to((core,))
        child = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        child.start()
        child.join()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [{core}]


def test_no_cores_are_all_there_are() -> None:
    before = os.sched_getaffinity(0)
    keep_to(())
    assert os.sched_getaffinity(0) == before


def test_cores_that_are_not_there() -> None:
    with pytest.raises(StartupError, match="may not run on cores 99999"):
        keep_to((99999,))
