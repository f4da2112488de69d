"""The report of `make gpu`: rows, the table, and sections that fail, hang or say nothing."""

import sys

import pytest

from loadtest.gpu.__main__ import run_section
from loadtest.gpu.facts import describe, installed
from loadtest.gpu.models import SHAPES, Cost, read_config
from loadtest.gpu.rows import Row, table, unpack


def test_a_row_travels_as_a_line() -> None:
    row = Row("G1", "decode", "3 ms", 1.2, 1.25)
    assert unpack(row.pack()) == row
    assert unpack("anything else") is None


@pytest.mark.parametrize(
    ("row", "good", "verdict"),
    [
        (Row("G1", "w", "", 1.2, 1.25), True, "met"),
        (Row("G1", "w", "", 1.3, 1.25), False, "MISSED"),
        (Row("G3", "w", "", 0.9, 0.88, most=False), True, "met"),
        (Row("G3", "w", "", 0.8, 0.88, most=False), False, "MISSED"),
        (Row("-", "w", "3 TB/s"), True, ""),
        (Row("K", "w", "all"), True, "passed"),
        (Row("G1", "w", failed="no"), False, "failed: no"),
    ],
)
def test_verdicts(row: Row, good: bool, verdict: str) -> None:
    assert (row.good, row.verdict) == (good, verdict)


def test_the_table_is_markdown() -> None:
    text = table([Row("G1", "decode", "3 ms", 1.2, 1.25), Row("G3", "read", "", 0.9, 0.88, most=False)])
    assert "| G1 | decode | 3 ms | 1.2 | <= 1.25 | met |" in text
    assert "| G3 | read |  | 0.9 | >= 0.88 | met |" in text


def section(code: str, limit_s: float = 60.0, name: str = "x") -> list[Row]:
    return list(run_section(name, ["-c", code], limit_s))


def test_rows_come_through_whatever_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    row = Row("G1", "decode", "3 ms", 1.2, 1.25)
    assert section(f"print('hello'); print({row.pack()!r})") == [row]
    printed = capsys.readouterr().out
    assert "hello" in printed
    assert "G1   decode: 3 ms met" in printed


def test_a_section_that_fails_is_a_row_and_keeps_what_it_had() -> None:
    row = Row("G1", "decode")
    first, failed = section(f"print({row.pack()!r}, flush=True); raise SystemExit('out of luck')")
    assert first == row
    assert failed.failed == "it ended with 1: out of luck"


def test_a_section_that_hangs_is_ended_with_all_it_started() -> None:
    code = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'import signal; signal.pause()'])"
    [failed] = section(code, limit_s=0.5)
    assert failed.failed.startswith("it did not end within 0.5 s")


def test_kernels_that_say_only_a_sentence_have_a_row() -> None:
    assert section("print('all 240 cases passed')", name="kernels") == [
        Row("K", "every kernel against its reference", "all 240 cases passed")
    ]


def test_the_machine_describes_itself() -> None:
    assert "torch" in describe()
    assert installed("no-such-package") == "missing"


def test_what_a_step_must_read() -> None:
    cost = Cost(read_config("8B"))
    assert cost.kv_bytes == 131072
    assert cost.decode_bytes(1, 0) / 1e9 == pytest.approx(15.0, abs=0.02)
    assert cost.prefill_operations(2048) / 790e12 * 1e3 == pytest.approx(37.6, abs=0.1)
    assert {name: read_config(name).num_layers for name in SHAPES} == {"8B": 32, "0.6B": 28}
