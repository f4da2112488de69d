"""A few of the thousand, and that the judges and the words they judge are worth something."""

from collections import Counter

import pytest

from common.text.compiler import Compiler, Vocabulary
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint
from loadtest.structured.__main__ import report
from loadtest.structured.drive import Driver
from loadtest.structured.expressions import random_expression
from loadtest.structured.judge import complaint
from loadtest.structured.schemas import random_schema
from tests.tiny import tiny_model

COUNT = 32


def driver(max_tokens: int = 400) -> Driver:
    tokenizer = Tokenizer.load(tiny_model("llama"))
    return Driver(Compiler(Vocabulary(tokenizer, 509, (1,))), tokenizer, max_tokens)


@pytest.mark.parametrize("kind", ["schemas", "expressions"])
def test_answers_are_right_or_the_constraint_was_refused_before(kind: str) -> None:
    asked = [
        Constraint.json_schema(random_schema(seed)) if kind == "schemas" else Constraint.regex(random_expression(seed))
        for seed in range(7000, 7000 + COUNT)
    ]
    counts: Counter[str] = Counter()
    for outcome in driver().outcomes(asked, 1):
        if outcome.refused:
            counts["refused"] += 1
            continue
        assert not outcome.failed, outcome
        if outcome.cut:
            counts["cut"] += 1
            continue
        assert complaint(outcome.constraint, outcome.text) == "", outcome
        counts["answered"] += 1
    assert sum(counts.values()) == COUNT
    assert counts["answered"] >= COUNT // 2
    assert counts["refused"] >= COUNT // 16


def test_the_report_counts_and_tells_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(driver(), "expressions", [Constraint.regex("ab"), Constraint.regex("(a")], 3) == 0
    said = capsys.readouterr().out
    assert "2 expressions from seed 3: 1 answered, 1 refused" in said
    assert "1 refused: constraint: holds what is no regular expression" in said


def test_a_seed_is_a_constraint() -> None:
    assert [random_schema(seed) for seed in range(50)] == [random_schema(seed) for seed in range(50)]
    assert len({str(random_schema(seed)) for seed in range(200)}) > 150
    assert len({random_expression(seed) for seed in range(200)}) > 120


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (Constraint.json_object(), '{"a": 1}', "[]"),
        (Constraint.json_schema({"type": "integer", "minimum": 3}), "3", "2"),
        (Constraint.json_schema({"type": "string", "format": "ipv4"}), '"1.2.3.4"', '"1.2.3.400"'),
        (Constraint.regex(r"\d+"), "12", "12\n"),
        (Constraint.choice(["a", "b"]), "b", "ab"),
    ],
)
def test_judges_tell_right_from_wrong(constraint: Constraint, good: str, bad: str) -> None:
    assert complaint(constraint, good) == ""
    assert complaint(constraint, bad) != ""
    assert complaint(Constraint.json_object(), '{"a": ') != ""
