"""The table of single parts: rows in the order of their numbers, figures short, failures listed; and bare events."""

import json

import pytest

from loadtest.micro._all import HEAD, _sheet
from loadtest.micro._bare import LETTERS, MESSAGES, events
from loadtest.micro._rows import Measured, _short


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (0.12345, "0.123"),
        (9.876, "9.88"),
        (123.4, "123"),
        (999.4, "999"),
        (1000.0, "1,000"),
        (-1234.5, "-1,234"),
        (1234567.8, "1,234,568"),
    ],
)
def test_figures_are_short(value: float, told: str) -> None:
    assert _short(value) == told


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ((2.0,), "2 us"),
        ((1.0, 3.0), "2 us (1 to 3)"),
        ((5.0, 1.0, 9.0), "5 us (1 to 9)"),
        ((4.0, 4.0), "4 us (4 to 4)"),
    ],
)
def test_a_median_has_its_spread_when_there_is_one(figures: tuple[float, ...], told: str) -> None:
    assert Measured("C1", "x", figures, "us").cells()[2] == told


def test_a_row_without_limits_shows_none() -> None:
    assert Measured("", "x", (1.0,), "us").cells()[3:] == ("", "", "")
    assert Measured("C1", "x", (1.0,), "", 0.8, 0.9).cells()[3:] == (">= 0.8", "0.9", "aim")
    assert Measured("C1", "x", (1.0,), "", 0.8, 0.5, most=True).cells()[3:] == ("<= 0.8", "0.5", "missed")


def test_numbered_rows_are_in_numerical_order_and_the_others_apart() -> None:
    rows = [Measured(number, f"row {number}", (1.0,)) for number in ("C11", "C2", "", "C8")]
    text = _sheet(rows, [])
    assert text.startswith(HEAD)
    places = [text.index(mark) for mark in ("| C2 |", "| C8 |", "| C11 |", "## Other figures", "| row  |")]
    assert places == sorted(places)
    assert "did not work" not in text


def test_rows_of_one_number_keep_their_order() -> None:
    rows = [Measured("C4", what, (1.0,)) for what in ("b", "a", "c")]
    text = _sheet(rows, [])
    places = [text.index(f"| C4 | {what} |") for what in "bac"]
    assert places == sorted(places)


def test_problems_are_listed_below_everything() -> None:
    text = _sheet([], ["router failed (exit code 1)", "step took longer than 300 s"])
    below = text.partition("## What did not work")[2]
    assert below.split("\n* ")[1:] == ["router failed (exit code 1)", "step took longer than 300 s\n"]


def test_bare_events_are_a_letter_each_as_a_client_reads_them() -> None:
    made = events()
    assert len(made) == len(MESSAGES) == len(LETTERS)
    for letter, event, message in zip(LETTERS, made, MESSAGES, strict=True):
        assert event.endswith(b"\n\n")
        (choice,) = json.loads(event.removeprefix(b"data: "))["choices"]
        assert (choice["text"], choice["finish_reason"]) == (letter, None)
        assert message.delta.text == letter
        assert list(message.delta.token_ids) == [64 + LETTERS.index(letter)]
    assert len({len(event) for event in made}) == 1
