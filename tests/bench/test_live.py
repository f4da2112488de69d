"""What is shown while a run goes on."""

import asyncio
import io

import pytest
from rich.console import Console

from loadtest.bench.drive import Progress
from loadtest.bench.live import Glance, Watch, shown
from tests.bench.records import record


def console(terminal: bool, width: int = 200) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width)


def shown_text(screen: Console) -> str:
    return screen.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_glance_counts() -> None:
    going = record(3.5, start=3.0)
    going.end_s = 0.0
    records = [record(1.5, 1.7, start=1.0), record(start=2.0, error="HTTP 503"), going]
    glance = Watch(Progress(0.5, records, num_running=1)).glance()
    assert (glance.num_sent, glance.num_running, glance.num_done, glance.num_failed) == (3, 1, 1, 1)
    assert [round(value) for value in glance.ttft_ms] == [500, 500]
    assert [round(value) for value in glance.tpot_ms] == [200, 200]
    assert glance.tokens_per_s > 0


def test_tokens_are_counted_once() -> None:
    watch = Watch(Progress(0.5, [record(1.5, 1.7, start=1.0)]))
    watch.glance()
    assert watch.glance().tokens_per_s == 0


def test_a_busy_client_is_marked() -> None:
    glance = Glance(1, 0, 0, 0, 0, 0, (0, 0), (0, 0), (0, 0), 0.93)
    cells = dict(glance.cells())
    assert cells["client CPU"] == "93% busy!"
    assert cells["TTFT ms p50/p99"] == "-"


@pytest.mark.parametrize("width", [60, 200])
async def test_a_terminal_gets_a_table_that_fits(width: int) -> None:
    screen = console(terminal=True, width=width)
    with shown(screen, "paper: 2 requests/s", Progress(0.5, [record(1.5, start=1.0)])):
        await asyncio.sleep(0)
    text = shown_text(screen)
    assert "paper: 2 requests/s" in text
    assert "TTFT ms p50/p99" in text


async def test_elsewhere_a_title_and_lines() -> None:
    screen = console(terminal=False)
    with shown(screen, "paper: 2 requests/s", Progress()):
        await asyncio.sleep(0)
    assert shown_text(screen) == "paper: 2 requests/s\n"
