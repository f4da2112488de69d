"""Masks of a step: what each row may say next, wherever its answer was begun."""

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from common.engine.masks import Masks
from common.text.compiler import Compiler
from common.types.constraint import Constraint
from tests.constrained import END, allowed, compiler, row, tokens_of

WORD = Constraint.regex("[ab]{2}c?")


def test_each_row_by_itself() -> None:
    masks = Masks(compiler())
    rows = [row(WORD, name="a"), row(None, name="b"), row(WORD, "ab", name="c"), row(WORD, "abc", name="d")]
    assert allowed(masks, *rows) == ["ab", "c$", "$"]


def test_a_growing_answer_is_followed_and_others_are_forgotten() -> None:
    masks = Masks(compiler())
    for said, expected in (("", "ab"), ("b", "ab"), ("ba", "c$"), ("bac", "$")):
        assert allowed(masks, row(WORD, said)) == [expected]
    assert list(masks._guides) == [(row(WORD).id, 0)]
    masks.begin([row(None)])
    assert masks._guides == {}


def test_its_thread_keeps_to_its_own_cores_wherever_it_was_started() -> None:
    core, seen = max(os.sched_getaffinity(0)), list[set[int]]()

    def run() -> None:
        os.sched_setaffinity(0, {core})  # as an engine's thread does
        masks = Masks(compiler(), cores=tuple(before))
        seen.append(masks._beside.submit(os.sched_getaffinity, 0).result())

    before = os.sched_getaffinity(0)
    engine = threading.Thread(target=run)
    engine.start()
    engine.join()
    assert seen == [before]


def test_another_worker_or_attempt_replays_what_was_said() -> None:
    for said, expected in (("", "ab"), ("b", "ab"), ("ba", "c$"), ("bac", "$")):
        assert allowed(Masks(compiler()), row(WORD, said, number=2)) == [expected]


def test_choices_of_one_attempt_go_their_own_ways() -> None:
    masks = Masks(compiler())
    assert allowed(masks, *[row(WORD, choice=choice) for choice in range(3)]) == ["ab"] * 3
    rows = [row(WORD, said, choice=choice) for choice, said in enumerate(("a", "ab", "bbc"))]
    assert allowed(masks, *rows) == ["ab", "c$", "$"]


def test_one_row_pauses_and_comes_back_further_on() -> None:
    masks = Masks(compiler())
    assert allowed(masks, row(WORD, name="x"), row(WORD, name="y")) == ["ab", "ab"]
    assert allowed(masks, row(WORD, "a", name="y")) == ["ab"]
    assert allowed(masks, row(WORD, "ab", name="x"), row(WORD, "ab", name="y")) == ["c$", "c$"]


def test_ignored_ends_are_left_out_until_nothing_else_is_left() -> None:
    masks = Masks(compiler())
    assert allowed(masks, row(WORD, "ab", stop_token_ids=())) == ["c"]
    assert allowed(masks, row(WORD, "abc", stop_token_ids=())) == ["$"]


def test_stop_tokens_come_late_unless_nothing_else_is_left() -> None:
    masks = Masks(compiler())
    stops = (END, *tokens_of("a"))
    assert allowed(masks, row(WORD, "ab", min_tokens=3)) == ["c"]
    assert allowed(masks, row(WORD, "ab", min_tokens=2)) == ["c$"]
    assert allowed(masks, row(WORD, "abc", min_tokens=30)) == ["$"]
    assert allowed(masks, row(WORD, "a", name="z", stop_token_ids=stops, min_tokens=9)) == ["b"]
    assert allowed(masks, row(Constraint.regex("aa"), name="w", stop_token_ids=stops, min_tokens=9)) == ["a"]


def test_what_was_never_allowed_fails_its_row_alone() -> None:
    masks = Masks(compiler())
    rows = [row(WORD, "x", name="bad"), row(WORD, "a", name="good"), row(Constraint.regex("(a"), name="worse")]
    assert allowed(masks, *rows) == [None, "ab", None]


def test_a_failure_of_what_was_shared_is_tried_again_alone() -> None:
    """llguidance's copies share a lexer, whose room one of them may use up for all."""
    compiling = compiler()
    masks = Masks(compiling)
    assert allowed(masks, row(WORD)) == ["ab"]
    (guide,) = masks._guides.values()
    assert guide.matcher is not None
    guide.matcher.consume_tokens(tokens_of("x"))
    assert guide.matcher.is_error()
    assert allowed(masks, row(WORD, "a")) == ["ab"]


def test_masks_are_made_on_a_thread_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    compiling = compiler()
    begin = Compiler.begin

    def note(self: Compiler, constraint: Constraint) -> LLMatcher:
        names.append(threading.current_thread().name)
        return begin(self, constraint)

    monkeypatch.setattr(Compiler, "begin", note)
    assert allowed(Masks(compiling), row(WORD)) == ["ab"]
    assert names
    assert all(name.startswith("masks") for name in names)


def test_collecting_what_nobody_began_is_a_bug() -> None:
    masks = Masks(compiler())
    masks.begin([row(None)])
    with pytest.raises(RuntimeError, match="nobody began"):
        masks.collect()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=12))
def test_masks_depend_on_nothing_but_what_was_said(turns: list[tuple[int, int]]) -> None:
    """Whatever rows come and go, in whatever order and company."""
    constraint, text = Constraint.json_schema({"enum": ["abab", "abba"]}), '"abba"'
    masks, compiling = Masks(compiler()), compiler()
    for name, length in turns:
        one = row(constraint, text[:length], name=str(name))
        assert allowed(masks, one, row(WORD, "b", name="company")) == [*allowed(Masks(compiling), one), "ab"]
