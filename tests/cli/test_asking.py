"""Options of `generate` and `chat` as a call's arguments, and the line that tells where the time went."""

from pathlib import Path
from typing import Any

import pytest

from baton.cli.asking import asking_of, explained, summary
from baton.client import Done
from baton.client.results import Explanation, Timings, Usage
from common.types.config import AskConfig
from common.types.constraint import Constraint, ConstraintKind
from common.types.options import ConfigError

TIMINGS = Timings(queue_ms=1.0, prefill_ms=20.0, handoff_ms=3.25, decode_ms=400.0, ttft_ms=25.0, total_ms=425.0)


def done(num_output: int = 41, num_attempts: int = 1, timings: Timings = TIMINGS, *why: Explanation) -> Done:
    return Done(Usage(12, 4, num_output), timings, num_attempts, why)


def test_what_was_not_asked_is_left_to_the_server() -> None:
    asking = asking_of(AskConfig())
    assert "model" not in asking
    assert "seed" not in asking
    assert "constraint" not in asking
    assert (asking["max_tokens"], asking["temperature"], asking["stop"], asking["explain"]) == (128, 0.7, (), False)


def test_what_was_asked_is_passed_on() -> None:
    asked = AskConfig(
        model_id="m", seed=0, max_tokens=7, temperature=0.0, top_k=3, top_p=0.5, stop=("a", "b"), explain=True
    )
    assert asking_of(asked) == {
        "model": "m",
        "seed": 0,
        "max_tokens": 7,
        "temperature": 0.0,
        "top_k": 3,
        "top_p": 0.5,
        "stop": ("a", "b"),
        "explain": True,
    }


@pytest.mark.parametrize(
    ("options", "constraint"),
    [
        ({"json_object": True}, Constraint(ConstraintKind.JSON_OBJECT)),
        ({"json_schema": '{"type": "integer"}'}, Constraint(ConstraintKind.JSON_SCHEMA, '{"type": "integer"}')),
        ({"regex": "a@b"}, Constraint(ConstraintKind.REGEX, "a@b")),
        ({"regex": "@a"}, Constraint(ConstraintKind.REGEX, "@a")),
        ({"grammar": "start: X"}, Constraint(ConstraintKind.GRAMMAR, "start: X")),
        ({"choice": ("yes", "no")}, Constraint(ConstraintKind.CHOICE, '["yes", "no"]')),
    ],
)
def test_a_constraint_is_made_of_its_option(options: dict[str, Any], constraint: Constraint) -> None:
    assert asking_of(AskConfig(**options))["constraint"] == constraint


@pytest.mark.parametrize("option", ["json_schema", "grammar"])
def test_a_long_one_may_stand_in_a_file(option: str, tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_text("größe\n", encoding="utf-8")
    asking = asking_of(AskConfig(**{option: f"@{file}"}))  # type: ignore[arg-type]
    assert asking["constraint"].source == "größe\n"
    with pytest.raises(FileNotFoundError, match="nothing"):
        asking_of(AskConfig(**{option: f"@{tmp_path}/nothing"}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"json_object": True, "regex": "a"}, "--json-object and --regex"),
        ({"grammar": "x", "choice": ("a",)}, "--grammar and --choice"),
        ({"json_object": True, "json_schema": "{}", "choice": ("a",)}, "--json-object and --json-schema and --choice"),
    ],
)
def test_two_constraints_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named} each say"):
        asking_of(AskConfig(**options))


def test_the_line_splits_the_time_and_counts_the_tokens() -> None:
    assert summary(done()) == (
        "first token 25.0 ms, 100.0 tokens/s; queue 1.0 + prefill 20.0 + hand-off 3.2 + decode 400.0 ms; "
        "12 tokens in (4 cached), 41 out"
    )


@pytest.mark.parametrize("num_output", [0, 1])
def test_one_token_has_no_speed(num_output: int) -> None:
    assert "first token 25.0 ms, one token; queue" in summary(done(num_output))


def test_tokens_that_came_at_once_have_no_speed() -> None:
    at_once = Timings(0, 1, 0, 0, ttft_ms=5.0, total_ms=5.0)
    assert "one token" in summary(done(8, 1, at_once))


@pytest.mark.parametrize(("num_attempts", "ending"), [(0, "out"), (1, "out"), (2, "; 2 attempts")])
def test_tries_are_told_when_there_were_several(num_attempts: int, ending: str) -> None:
    assert summary(done(5, num_attempts)).endswith(ending)


def test_each_decision_is_a_line() -> None:
    why = (Explanation("decode", "decode-1", ("decode-0: 9 blocks free", "decode-1: 80 blocks free")),)
    assert explained(done(5, 1, TIMINGS, *why)) == [
        "decode: decode-1 (decode-0: 9 blocks free; decode-1: 80 blocks free)"
    ]
    assert explained(done()) == []
