"""Columns of text, and a process's end in words."""

import signal

import pytest

from baton.cli.child import how_it_ended
from baton.cli.table import table


def test_a_column_is_as_wide_as_its_widest_cell() -> None:
    assert table(("id", "may"), [("alice", "ask"), ("b", "all")]) == "id     may\nalice  ask\nb      all"


def test_a_head_may_be_the_widest_and_no_line_ends_in_blanks() -> None:
    made = table(("requests", "x"), [("1", ""), ("22", "")])
    assert made.splitlines() == ["requests  x", "1", "22"]


def test_no_rows_leave_the_head() -> None:
    assert table(("a", "b"), []) == "a  b"


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        table(("a", "b"), [("1",)])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-signal.SIGTERM, "killed by SIGTERM"),
        (-300, "killed by signal 300"),
    ],
)
def test_an_end_in_words(code: int, told: str) -> None:
    assert how_it_ended(code) == told
