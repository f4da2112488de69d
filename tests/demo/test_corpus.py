"""Prose made plain, and rows that are a function of their number."""

from pathlib import Path

import numpy as np
import pytest

from baton.demo.corpus import code, docstrings, documentation, plain, topics
from baton.demo.curve import draw
from baton.demo.lessons import FIRST, THEN, TURN, Lessons
from baton.demo.pairs import END, MARKS, read_facts
from baton.demo.tokens import IGNORED, Ids, Prose, Stories, Talks, mark_id, train_tokenizer

REST = """
:mod:`bisect` --- Array bisection
=================================

.. module:: bisect
   :synopsis: never read aloud

.. comment that nobody sees
   and its second line

This is :func:`bisect_left` of `a page <https://x.y>`_, see :ref:`here <there>`.

.. function:: insort(a, x)

   Insert *x*.

   .. versionadded:: 3.1
      gone

.. note::

   A note stays.
"""


def test_rest_is_read_as_one_would_read_it_aloud() -> None:
    text = plain(REST)
    assert text.startswith("bisect --- Array bisection\n")
    assert "This is bisect_left of a page, see here." in text
    assert "insort(a, x)\n\n   Insert *x*." in text
    assert "A note stays." in text
    for gone in ("synopsis", "nobody sees", "second line", "gone", "::", "===="):
        assert gone not in text


def test_what_python_brings_along_is_found(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "a.rst.txt").write_text(REST * 2)
    assert len(list(documentation(tmp_path))) == 1
    assert list(documentation(tmp_path / "none")) == []
    assert len(list(topics())) > 50
    (tmp_path / "m.py").write_text('"""' + "A docstring that says something. " * 8 + '"""\n')
    (tmp_path / "broken.py").write_text("def (")
    assert [text.count("docstring") for text in docstrings(tmp_path)] == [8]
    assert len(list(code(tmp_path))) == 1


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    facts = read_facts()
    texts = [f"Sentence number {number} of this small text. " * 20 for number in range(200)]
    tokenizer = train_tokenizer([*texts, *(fact.answer for fact in facts)], 600)
    prose = Prose.of(tokenizer, texts, 1).row
    kinds = {"docs": prose, "strings": prose, "code": prose}
    rows = {**kinds, "stories": Stories(tokenizer, 1).row, "talks": Talks(tokenizer, facts, 1).row}
    return Lessons(tokenizer, rows, rows)


def test_a_step_is_a_function_of_its_number(lessons: Lessons) -> None:
    ids, targets = lessons.step(3)
    again, _ = lessons.step(3)
    other, _ = lessons.step(4)
    assert ids.shape == targets.shape == (16, 512)
    assert np.array_equal(ids, again)
    assert not np.array_equal(ids, other)
    assert np.array_equal(ids[0, 1:], targets[0, :-1]), "prose: the next token is the target"


def test_no_row_comes_twice_where_the_mixture_turns(lessons: Lessons) -> None:
    asked: list[int] = []

    def docs(number: int, length: int) -> tuple[Ids, Ids]:
        asked.append(number)
        return lessons.kinds["docs"](number, length)

    kinds = {**lessons.kinds, "docs": docs}
    watched = Lessons(lessons.tokenizer, kinds, {})
    for step in (TURN - 1, TURN, TURN + 1):
        watched.step(step)
    assert asked == list(range(asked[0], asked[0] + FIRST["docs"] + 2 * THEN["docs"]))
    assert sum(FIRST.values()) == sum(THEN.values())


def test_only_what_the_assistant_says_is_learned(lessons: Lessons) -> None:
    ids, targets = lessons.kinds["talks"](0, 512)
    user, assistant = (mark_id(lessons.tokenizer, MARKS[role]) for role in ("user", "assistant"))
    end = mark_id(lessons.tokenizer, END)
    begins = int(np.argmax(ids == assistant))
    asks = int(np.argmax(ids == user))
    assert (targets[asks:begins] == IGNORED).all()
    ends = begins + int(np.argmax(targets[begins:] == end))
    assert np.array_equal(targets[begins:ends], ids[begins + 1 : ends + 1])


def test_any_text_has_tokens(lessons: Lessons) -> None:
    text = "ein Text mit Ümläuten 🙂\n"
    assert lessons.tokenizer.decode(lessons.tokenizer.encode(text).ids) == text
    with pytest.raises(ValueError, match="has no"):
        mark_id(lessons.tokenizer, "<|nothing|>")


def test_a_curve_is_drawn_from_its_table() -> None:
    svg = draw("step,tokens,seconds,loss,docs\n20,1,1,7.5,\n40,2,2,5.0,6.0\n60,3,3,4.0,5.5\n")
    assert svg.count("<polyline") == 2
    assert "docs, kept back" in svg
    with pytest.raises(ValueError, match="no losses"):
        draw("step,tokens,seconds,loss\n")
