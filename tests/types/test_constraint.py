"""Constraints as they are written down."""

import json
import math

import pytest

from common.types.constraint import Constraint, ConstraintKind


def test_each_kind_has_a_way_to_be_made() -> None:
    made = [
        Constraint.json_object(),
        Constraint.json_schema({"type": "integer"}),
        Constraint.regex("a+"),
        Constraint.grammar('start: "a"'),
        Constraint.choice(["ü", "b"]),
    ]
    assert [constraint.kind for constraint in made] == list(ConstraintKind)
    assert [constraint.source for constraint in made[:4]] == ["", '{"type": "integer"}', "a+", 'start: "a"']
    assert json.loads(made[4].source) == ["ü", "b"]
    assert len({*made, *made}) == 5


def test_what_json_cannot_say_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Constraint.json_schema({"minimum": math.nan})
    with pytest.raises(TypeError):
        Constraint.json_schema({"enum": [object()]})
