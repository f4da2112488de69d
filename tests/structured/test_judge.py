"""The judge alone: every kind of constraint, and what Python's readers let through that JSON does not."""

import json

import pytest

from common.types.constraint import Constraint
from loadtest.structured.judge import complaint

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "tags": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', "{'a': 1}", "{} {}", "", "{"])
@pytest.mark.parametrize("constraint", [Constraint.json_object(), Constraint.json_schema({})], ids=["object", "schema"])
def test_what_is_no_json_is_told_as_such(constraint: Constraint, text: str) -> None:
    assert complaint(constraint, text).startswith("is not JSON")


@pytest.mark.parametrize("text", ["[]", "1", "null", '"{}"', "true"])
def test_other_values_are_no_objects(text: str) -> None:
    assert complaint(Constraint.json_object(), text) == "is no object"


@pytest.mark.parametrize("text", ["{}", ' {"a": {}} ', '{"a": [1, {"b": null}]}', '{"": "\\u00e9"}'])
def test_objects_are_objects(text: str) -> None:
    assert complaint(Constraint.json_object(), text) == ""


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"name": "Ada"}, ""),
        ({"name": "Ada", "tags": [1, 2]}, ""),
        ({"name": "Adelheid"}, "$.name"),
        ({"name": "Ada", "tags": [1, "2"]}, "$.tags[1]"),
        ({"tags": []}, "$"),
        ({"name": "Ada", "age": 3}, "$"),
        ([], "$"),
    ],
)
def test_a_schemas_complaint_names_the_place(value: object, place: str) -> None:
    said = complaint(Constraint.json_schema(PERSON), json.dumps(value))
    assert said.startswith(f"at {place}: ") if place else said == ""


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("email", "a@b.c", "nobody"),
    ],
)
def test_formats_are_judged(format: str, good: str, bad: str) -> None:
    constraint = Constraint.json_schema({"type": "string", "format": format})
    assert complaint(constraint, json.dumps(good)) == ""
    assert complaint(constraint, json.dumps(bad)) != ""


@pytest.mark.parametrize(
    ("expression", "text", "good"),
    [
        ("ab+", "abb", True),
        ("ab+", "abbc", False),
        ("ab+", "xabb", False),
        (r"\d+", "٣", False),
        (r"\w+", "é", False),
        ("é", "é", True),
        ("a|bc", "bc", True),
        ("a.", "a\n", False),
        ("", "", True),
    ],
)
def test_an_expression_is_matched_from_end_to_end(expression: str, text: str, good: bool) -> None:
    assert (complaint(Constraint.regex(expression), text) == "") is good


def test_a_choice_is_one_of_the_texts_as_they_are() -> None:
    constraint = Constraint.choice(["yes", "no", "", "a\nb"])
    assert [complaint(constraint, text) for text in ("yes", "", "a\nb")] == ["", "", ""]
    assert all(complaint(constraint, text) for text in ("Yes", "yes ", '"yes"', "a"))


def test_a_long_complaint_is_cut() -> None:
    said = complaint(Constraint.json_schema({"const": "x" * 900}), '"y"')
    assert len(said) < 250
