"""A run as it goes: a table on a terminal, a line every few seconds elsewhere. Owns what is shown, never the run."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

from loadtest.bench.drive import Progress
from loadtest.bench.statistics import percentile

TERMINAL_S, LINES_S = 0.5, 5.0
RECENT = 1000
"""Percentiles while running are of so many latest requests."""
BUSY_SHARE = 0.8
WIDE = 130


@dataclass(frozen=True, slots=True)
class Glance:
    """What is shown of a moment."""

    elapsed_s: float
    num_sent: int
    num_running: int
    num_done: int
    num_failed: int
    tokens_per_s: float
    ttft_ms: tuple[float, float]
    tpot_ms: tuple[float, float]
    itl_ms: tuple[float, float]
    cpu_share: float

    def cells(self) -> tuple[tuple[str, str], ...]:
        def pair(values: tuple[float, float]) -> str:
            return f"{values[0]:.1f} / {values[1]:.1f}" if values[1] else "-"

        return (
            ("time", f"{self.elapsed_s:.0f} s"),
            ("sent", str(self.num_sent)),
            ("running", str(self.num_running)),
            ("done", str(self.num_done)),
            ("failed", str(self.num_failed)),
            ("tokens/s", f"{self.tokens_per_s:.1f}"),
            ("TTFT ms p50/p99", pair(self.ttft_ms)),
            ("TPOT ms p50/p99", pair(self.tpot_ms)),
            ("ITL ms p50/p99", pair(self.itl_ms)),
            ("client CPU", f"{self.cpu_share:.0%}" + (" busy!" if self.cpu_share > BUSY_SHARE else "")),
        )


class Watch:
    """Looks at a run's progress now and then; remembers the last look, for rates between looks."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = (time.perf_counter(), time.process_time(), 0)

    def glance(self) -> Glance:
        now, cpu = time.perf_counter(), time.process_time()
        records = self._progress.records
        recent = records[-RECENT:]
        num_tokens = sum(record.num_output for record in records)
        then, then_cpu, then_tokens = self._last
        self._last = (now, cpu, num_tokens)
        passed = max(now - then, 1e-9)
        finished = [record for record in recent if record.end_s]
        num_failed = sum(bool(record.error) for record in records)
        return Glance(
            elapsed_s=now - self._progress.begin_s if self._progress.begin_s else 0.0,
            num_sent=len(records),
            num_running=self._progress.num_running,
            num_done=len(records) - self._progress.num_running - num_failed,
            num_failed=num_failed,
            tokens_per_s=(num_tokens - then_tokens) / passed,
            ttft_ms=_pair([record.ttft_s for record in recent if record.arrivals]),
            tpot_ms=_pair([tpot for record in finished if record.ok and (tpot := record.tpot_s) is not None]),
            itl_ms=_pair([itl for record in recent[-100:] for itl in record.itls_s]),
            cpu_share=(cpu - then_cpu) / passed,
        )


def _pair(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return percentile(ordered, 50) * 1000, percentile(ordered, 99) * 1000


@contextmanager
def shown(console: Console, title: str, progress: Progress) -> Iterator[None]:
    """Shows the run until the block ends; needs a running event loop."""
    watch = Watch(progress)
    live = (
        Live(_table(title, watch.glance(), console.width), console=console, auto_refresh=False)
        if console.is_terminal
        else None
    )
    if live is None:
        console.print(title)
    else:
        live.start()
    task = asyncio.create_task(_show(console, title, watch, live))
    try:
        yield
    finally:
        task.cancel()
        if live is not None:
            live.update(_table(title, watch.glance(), console.width), refresh=True)
            live.stop()


async def _show(console: Console, title: str, watch: Watch, live: Live | None) -> None:
    while True:
        await asyncio.sleep(TERMINAL_S if live is not None else LINES_S)
        glance = watch.glance()
        if live is not None:
            live.update(_table(title, glance, console.width), refresh=True)
        else:
            console.print("  ".join(f"{name} {value}" for name, value in glance.cells()), soft_wrap=True)


def _table(title: str, glance: Glance, width: int) -> Table:
    """One row where the terminal is wide enough, a row for each figure where it is not."""
    wide = width >= WIDE
    table = Table(title=title, title_justify="left", show_header=wide)
    if wide:
        for name, _ in glance.cells():
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(*(value for _, value in glance.cells()))
    else:
        for cells in glance.cells():
            table.add_row(*cells)
    return table
