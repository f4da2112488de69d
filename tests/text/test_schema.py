"""Bounds of a JSON schema, and what must be refused because it would be accepted and not enforced."""

from typing import Any

import pytest

from common.text.schema import MAX_COUNT, MAX_DEPTH, MAX_VALUES, check_schema
from common.types.errors import InvalidRequest


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        nested(MAX_DEPTH - 2),
        {"enum": list(range(MAX_VALUES - 2))},
        {"type": "array", "maxItems": MAX_COUNT},
        {"minProperties": 1},
        {"minProperties": 3, "required": ["a", "b"]},
        {"const": {"minProperties": 99, "x-guidance": 1}},
        {"properties": {"x-guidance": {"type": "string"}, "minProperties": {}}},
        {"default": {"x-guidance": {}}, "examples": [{"minItems": 1 << 40}]},
        {"enum": [1 << 53, -(1 << 53), 0.1, 1e-300]},
        {"default": 1 << 60, "examples": [1e300]},
        True,
    ],
)
def test_accepted(schema: Any) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (nested(MAX_DEPTH), "more than 64 levels"),
        ({"enum": list(range(MAX_VALUES))}, "more than 16384 values"),
        ({"properties": {str(name): {} for name in range(MAX_VALUES)}}, "more than 16384 values"),
        ({"type": "string", "maxLength": MAX_COUNT + 1}, "maxLength is above 65536"),
        ({"items": {"anyOf": [{"minItems": 1e300}]}}, "minItems is above 65536|cannot be told"),
        ({"minProperties": 2}, "minProperties can be enforced up to one above"),
        ({"properties": {"a": {"minProperties": 3, "required": ["x", "x"]}}}, "minProperties can be enforced"),
        ({"pattern": "a++"}, "a pattern repeats a repetition"),
        ({"patternProperties": {"[a[b]]": {}}}, "a pattern has a class of characters within another"),
        ({"$defs": {"a": {"x-guidance": {}}}}, "sets x-guidance"),
        ({"properties": {"properties": {"x-guidance": {}}}}, "sets x-guidance"),
        ({"const": "\udfff"}, "half a character"),
        ({"const": (1 << 53) + 1}, "cannot be told from its neighbours"),
        ({"enum": [{"a": [-1e300]}]}, "cannot be told from its neighbours"),
        ({"items": {"minimum": 10**40}}, "cannot be told from its neighbours"),
    ],
)
def test_refused(schema: Any, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        check_schema(schema)
