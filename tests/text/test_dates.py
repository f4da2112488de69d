"""Dates of a schema are those of the calendar, and nothing else of it is touched."""

import datetime
import re
from typing import Any

import pytest

from common.text.dates import PATTERNS, with_real_dates
from common.types.constraint import Constraint
from tests.constrained import compiler, tokens_of

DATE = re.compile(PATTERNS["date"])


def is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("year", [0, 1, 4, 10, 100, 400, 999, 1000, 1600, 1900, 1904, 2000, 2023, 2024, 2100, 9999])
def test_february_ends_when_it_does(year: int) -> None:
    for day in ("01", "28", "29"):
        text = f"{year:04}-02-{day}"
        assert (DATE.fullmatch(text) is not None) == is_date(text), text


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('"2024-02-29"', True),
        ('"2023-02-29"', False),
        ('"0000-01-01"', False),
        ('"2023-04-30"', True),
        ('"2023-04-31"', False),
        ('"2023-12-31"', True),
    ],
)
def test_what_is_compiled_knows_the_calendar(text: str, allowed: bool) -> None:
    plain = compiler().begin(Constraint.json_schema({"type": "string", "format": "date"}))
    assert plain.consume_tokens(tokens_of(text)) is allowed
    nested = {"properties": {"at": {"type": "string", "format": "date-time", "pattern": "Z$"}}, "required": ["at"]}
    moment = f'{{"at":{text[:-1]}T10:00:00Z"}}'
    assert compiler().begin(Constraint.json_schema(nested)).consume_tokens(tokens_of(moment)) is allowed


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"type": "string", "format": "uuid"},
        {"const": {"format": "date"}, "enum": [{"format": "date"}], "default": {"format": "date"}},
        {"properties": {"format": {"const": "date"}}},
    ],
)
def test_everything_else_stays_as_it_is(schema: Any) -> None:
    assert with_real_dates(schema) == schema


def test_other_conditions_stay() -> None:
    made = with_real_dates({"anyOf": [{"format": "date", "allOf": [{"minLength": 3}], "pattern": "^2"}]})
    assert made == {
        "anyOf": [{"format": "date", "allOf": [{"minLength": 3}, {"pattern": PATTERNS["date"]}], "pattern": "^2"}]
    }
