"""How a server's cost is counted: its process's own time, messages and tokens at the client."""

import asyncio
import os
import time

import pytest

from loadtest.bench.record import Planned, Record
from loadtest.micro import router
from loadtest.micro.router import Side, _counts, _cpu_s, _window
from tests.bench.records import PaperTarget, record


def test_a_process_that_works_uses_time() -> None:
    before = _cpu_s(os.getpid())
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        continue
    assert _cpu_s(os.getpid()) > before


def test_tokens_count_where_the_server_tells_them_and_messages_otherwise() -> None:
    assert _counts([record(1, 2, out=5), record(1)]) == (3, 6)
    assert _counts([record(1, 2, out=0), record(1, out=0)]) == (3, 3)


class Streaming(PaperTarget):
    """A message of two tokens on every turn of the loop, without end."""

    async def send(self, planned: Planned, record: Record) -> None:
        while True:
            await asyncio.sleep(0.001)
            record.arrivals.append(1.0)
            record.num_output += 2


class Refusing(PaperTarget):
    """Every request fails."""

    async def send(self, planned: Planned, record: Record) -> None:
        record.error = "HTTP 503"


async def test_a_window_counts_what_came_in_it_and_leaves_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "WINDOW_S", 0.05)
    cost = await _window(Side("paper", Streaming(), os.getpid()))
    assert cost.tokens_per_message == 2.0
    assert len(asyncio.all_tasks()) == 1


async def test_a_side_that_refuses_ends_the_measurement() -> None:
    with pytest.raises(RuntimeError, match="paper: HTTP 503"):
        await _window(Side("paper", Refusing(), os.getpid()))
