"""What each kind of constraint is compiled from, and what is refused before any compiler sees it."""

import json

import pytest

from common.text.grammar import MAX_CHOICES, MAX_GBNF_CHARS, grammar_of
from common.types.constraint import MAX_SOURCE_CHARS, Constraint, ConstraintKind
from common.types.errors import InvalidRequest


def lark(constraint: Constraint) -> str:
    (made,) = json.loads(grammar_of(constraint))["grammars"]
    return str(made["lark_grammar"])


def refusal(constraint: Constraint) -> str:
    with pytest.raises(InvalidRequest) as caught:
        grammar_of(constraint)
    (violation,) = caught.value.violations
    assert violation.field == "constraint"
    return violation.description


def test_a_schema_keeps_its_words_and_gets_bounded_blanks() -> None:
    (made,) = json.loads(grammar_of(Constraint.json_schema({"type": "string", "maxLength": 3})))["grammars"]
    assert made["json_schema"].pop("x-guidance") == {"whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,40}"}
    assert made["json_schema"] == {"type": "string", "maxLength": 3}
    (anything,) = json.loads(grammar_of(Constraint.json_schema(True)))["grammars"]
    assert list(anything["json_schema"]) == ["x-guidance"]
    (an_object,) = json.loads(grammar_of(Constraint.json_object()))["grammars"]
    assert an_object["json_schema"]["type"] == "object"


def test_an_expression_cannot_leave_its_slashes_and_means_ascii() -> None:
    assert lark(Constraint.regex(r"a/b\d")) == r"start: /a\/b[0-9]/"
    assert lark(Constraint.regex("a\nstart: b")) == r"start: /a\nstart: b/"


def test_choices_are_taken_letter_by_letter() -> None:
    assert lark(Constraint.choice(["a.b", 'é"'])) == r"start: /a\x{2E}b|\x{E9}\x{22}/"


def test_what_only_sounds_like_an_option_is_none() -> None:
    tool = 'start: %json {"description": "e.g. [set temperature=20], or x-guidance", "type": "object"}'
    assert lark(Constraint.grammar(tool)) == tool
    assert lark(Constraint.grammar('start: "[stop=" /[a-z]+/')) == 'start: "[stop=" /[a-z]+/'


def test_grammars_of_either_syntax() -> None:
    assert lark(Constraint.grammar('start: "a"')) == 'start: "a"'
    assert "start: " in lark(Constraint.grammar('root ::= "a" | "b"'))


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        (ConstraintKind.JSON_OBJECT, "{}", "takes no source"),
        (ConstraintKind.JSON_SCHEMA, "", "must not be empty"),
        (ConstraintKind.REGEX, "  ", "must not be empty"),
        (ConstraintKind.JSON_SCHEMA, '{"type": ', "is not JSON (line 1, column 10)"),
        (ConstraintKind.JSON_SCHEMA, '{"minimum": NaN}', "is not JSON"),
        (ConstraintKind.JSON_SCHEMA, '{"minimum": Infinity}', "is not JSON"),
        (ConstraintKind.JSON_SCHEMA, "[" * 100_000, "is nested too deeply"),
        (ConstraintKind.JSON_SCHEMA, "1" * 5000, "is not JSON"),
        (ConstraintKind.JSON_SCHEMA, "[]", "is no schema"),
        (ConstraintKind.JSON_SCHEMA, "false", "can be met by no text"),
        (ConstraintKind.REGEX, "a\\", "ends within an escape"),
        (ConstraintKind.REGEX, "a\ud800", "holds half a character"),
        (ConstraintKind.REGEX, "a" * (MAX_SOURCE_CHARS + 1), "at most 131072 are allowed"),
        (ConstraintKind.CHOICE, "{}", "must be a JSON list of texts"),
        (ConstraintKind.CHOICE, '["a", 1]', "must be a JSON list of texts"),
        (ConstraintKind.CHOICE, '["a", ""]', "none of them empty"),
        (ConstraintKind.CHOICE, "[]", "has 0 texts to choose from"),
        (ConstraintKind.CHOICE, json.dumps(["a"] * (MAX_CHOICES + 1)), "1 to 4096 are allowed"),
        (ConstraintKind.CHOICE, '["\\ud800"]', "holds half a character"),
        (ConstraintKind.GRAMMAR, 'start[temperature=0.1]: "a"', "sets an option of the compiler"),
        (ConstraintKind.GRAMMAR, 'start[lazy, stop = "x"]: /.*/', "sets an option of the compiler"),
        (ConstraintKind.GRAMMAR, 'start: a\n  ?a[stop="x"]: "b"', "sets an option of the compiler"),
        (ConstraintKind.GRAMMAR, 'start: %json {"x-guidance": {"lenient": true}}', "sets an option of the compiler"),
        (ConstraintKind.GRAMMAR, "root ::= [", "neither in Lark's syntax nor in GBNF"),
        (ConstraintKind.GRAMMAR, "root ::= " + "(" * 5000, "neither in Lark's syntax nor in GBNF"),
        (ConstraintKind.GRAMMAR, "root ::= x " + "#" * MAX_GBNF_CHARS, "are allowed in this syntax"),
    ],
)
def test_refusals(kind: ConstraintKind, source: str, reason: str) -> None:
    assert reason in refusal(Constraint(kind, source))
