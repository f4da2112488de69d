"""Cores as an operator writes them, and a thread that stays on its own."""

import os
import threading

import pytest
import torch

from common.engine.placement import parse_cores, settle_thread
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
