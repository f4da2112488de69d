"""Rows of micro-benchmarks: verdicts, the table, the way between processes."""

import pytest

from loadtest.micro._all import RUNS
from loadtest.micro._rows import Measured, dumped, loaded, markdown

AT_LEAST = Measured("C8", "copy / memcpy", (0.7, 0.9, 0.85), "", 0.8, 0.95)
AT_MOST = Measured("C5", "outside kernels", (6.0,), "%", 5, 2, most=True)
AIMED = Measured("C11", "frames", (2.0,), "us", aim=1, most=True)
PLAIN = Measured("", "scheduler", (12.0, 1234.5), "us")


@pytest.mark.parametrize(
    ("row", "figures", "verdict"),
    [
        (AT_LEAST, (0.95,), "aim"),
        (AT_LEAST, (0.8,), "met"),
        (AT_LEAST, (0.79,), "missed"),
        (AT_MOST, (2.0,), "aim"),
        (AT_MOST, (5.0,), "met"),
        (AT_MOST, (5.1,), "missed"),
        (AIMED, (0.9,), "aim"),
        (AIMED, (1.1,), "short of it"),
        (Measured("C8", "copies", (3.1,), "", 3), (3.0,), "met"),
        (PLAIN, (1.0,), ""),
    ],
)
def test_verdicts(row: Measured, figures: tuple[float, ...], verdict: str) -> None:
    assert Measured(row.number, row.what, figures, row.unit, row.must, row.aim, row.most).verdict == verdict


def test_the_table() -> None:
    lines = markdown([AT_LEAST, AT_MOST, PLAIN]).splitlines()
    assert lines[2:] == [
        "| C8 | copy / memcpy | 0.85 (0.7 to 0.9) | >= 0.8 | 0.95 | met |",
        "| C5 | outside kernels | 6 % | <= 5 | 2 | missed |",
        "|  | scheduler | 623 us (12 to 1,234) |  |  |  |",
    ]


def test_rows_travel_between_processes() -> None:
    rows = [AT_LEAST, AT_MOST, PLAIN]
    assert loaded(dumped(rows)) == rows


@pytest.mark.parametrize("name", sorted({run[0] for run in RUNS}))
def test_everything_that_is_run_exists(name: str) -> None:
    module = pytest.importorskip(f"loadtest.micro.{name}")
    assert callable(module.run)
