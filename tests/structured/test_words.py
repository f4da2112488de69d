"""What the random constraints are made of: valid where they should be, of every kind, and judged in finite time."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from common.types.constraint import MAX_SOURCE_CHARS
from loadtest.structured.expressions import UNENFORCEABLE, WORDS, random_expression
from loadtest.structured.schemas import FORMATS, PATTERNS, random_schema
from loadtest.structured.schemas import UNENFORCEABLE as ODD_SCHEMAS

SCHEMAS = [random_schema(seed) for seed in range(600)]
EXPRESSIONS = [random_expression(seed) for seed in range(800)]


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and every object inside it."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts_of(value)


def words_of(schemas: list[dict[str, Any]]) -> Counter[str]:
    return Counter(word for schema in schemas for part in parts_of(schema) for word in part)


def test_every_schema_is_one_and_fits() -> None:
    for seed, schema in enumerate(SCHEMAS):
        text = json.dumps(schema)
        assert len(text) < MAX_SOURCE_CHARS
        jsonschema.Draft202012Validator.check_schema(json.loads(text))
        assert schema == random_schema(seed)


@pytest.mark.parametrize(
    "word",
    [
        *("properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"),
        *("items", "prefixItems", "minItems", "maxItems", "pattern", "format", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "const", "enum"),
        *("anyOf", "oneOf", "allOf", "$ref", "$defs"),
    ],
)
def test_every_word_that_people_write_is_there(word: str) -> None:
    assert words_of(SCHEMAS)[word] >= 5


def test_every_reference_leads_somewhere() -> None:
    for schema in SCHEMAS:
        for part in parts_of(schema):
            target = part.get("$ref")
            if isinstance(target, str) and target.startswith("#/$defs/"):
                assert target.removeprefix("#/$defs/") in schema["$defs"]


def test_what_is_required_is_described() -> None:
    for schema in SCHEMAS:
        for part in parts_of(schema):
            if "properties" in part and "required" in part:
                assert set(part["required"]) <= part["properties"].keys(), part


def test_bounds_leave_room() -> None:
    for schema in SCHEMAS:
        for part in parts_of(schema):
            if part in ODD_SCHEMAS:
                continue
            for low, high in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")):
                if isinstance(part.get(low), int) and isinstance(part.get(high), int):
                    assert part[low] <= part[high], part


def test_about_one_in_eight_holds_what_cannot_be_enforced() -> None:
    odd = sum(any(part in ODD_SCHEMAS for part in parts_of(schema)) for schema in SCHEMAS)
    assert 600 / 12 < odd < 600 / 5
    seen = Counter(str(part) for schema in SCHEMAS for part in parts_of(schema) if part in ODD_SCHEMAS)
    assert len(seen) == len(ODD_SCHEMAS)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_expressions(pattern: str) -> None:
    assert re.compile(pattern)


def test_formats_are_known_to_the_judge() -> None:
    known = jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers
    assert set(FORMATS) - {"time", "date-time"} <= set(known)


def usable(expression: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(expression)
        except (re.error, OverflowError):
            return False
    return True


def is_odd(expression: str) -> bool:
    """Holds what no automaton follows, or is no expression at all: `(` and `[` alone begin good ones too."""
    telling = tuple(piece for piece in UNENFORCEABLE if piece not in ("(", "["))
    return expression.startswith(telling) or not usable(expression)


def test_what_is_no_expression_was_made_so_on_purpose() -> None:
    broken = [expression for expression in EXPRESSIONS if not usable(expression)]
    assert broken
    assert all(expression.startswith(UNENFORCEABLE) for expression in broken)


def test_about_one_in_eight_expressions_is_odd() -> None:
    assert 800 / 12 < sum(map(is_odd, EXPRESSIONS)) < 800 / 5


def test_nothing_endless_stands_inside_a_repetition() -> None:
    nested = re.compile(r"[*+]\)+(?:[*+?]|\{)")
    for expression in EXPRESSIONS:
        if not is_odd(expression):
            assert not nested.search(expression), expression


@pytest.mark.parametrize("piece", [*WORDS, "(?:", "|", "*", "+", "?", "{2}", "^", r"\d", "零"])
def test_every_piece_occurs(piece: str) -> None:
    assert any(piece in expression for expression in EXPRESSIONS)
