"""Masks over long random lives: whatever pauses, is retried or begun anew, each row may say what it plainly may."""

import random
import re

import pytest

from common.engine.masks import Masks
from common.engine.plan import SampleRow
from common.types.constraint import Constraint
from tests.constrained import allowed, compiler, row

WORDS = (Constraint.regex("[ab]{2}c?"), Constraint.regex("(x|yz)+"), Constraint.regex("q*r"))
WORD = WORDS[0]


def plainly(constraint: Constraint, said: str) -> str:
    """What may come next, by trying each letter and asking whether anything could still match."""
    letters = "abcqrxyz"
    able = [letter for letter in letters if _can_match(constraint.source, said + letter)]
    return "".join(able) + "$" * bool(re.fullmatch(constraint.source, said))


def _can_match(pattern: str, text: str) -> bool:
    endings = ["", "a", "aa", "ba", "c", "ac", "x", "z", "r"]
    return any(re.fullmatch(pattern, text + ending) for ending in endings)


@pytest.mark.parametrize("seed", range(3))
def test_over_random_lives(seed: int) -> None:
    """Choices pause for a step or many, attempts are made again under a new number, and others take their places."""
    generator = random.Random(seed)
    masks, said, numbers = Masks(compiler()), dict[tuple[int, int], str](), dict[int, int]()
    for _ in range(60):
        rows: list[SampleRow] = []
        expected: list[str] = []
        places: list[tuple[int, int]] = []
        for attempt in generator.sample(range(5), generator.randrange(1, 5)):
            match generator.randrange(12):
                case 0:
                    numbers[attempt] = numbers.get(attempt, 1) + 1
                case 1:
                    said |= {place: "" for place in said if place[0] == attempt}
                    numbers[attempt] = numbers.get(attempt, 1) + 1
                case _:
                    pass
            for choice in range(1 + attempt % 2):
                place, constraint = (attempt, choice), WORDS[attempt % len(WORDS)]
                text = said.setdefault(place, "")
                rows.append(row(constraint, text, name=f"r-{attempt}", choice=choice, number=numbers.get(attempt, 1)))
                expected.append(plainly(constraint, text))
                places.append(place)
        found = allowed(masks, *rows)
        assert found == expected
        for place, letters in zip(places, expected, strict=True):
            said[place] += generator.choice(letters)
        for attempt in {place[0] for place, text in said.items() if text.endswith("$")}:
            numbers[attempt] = numbers.get(attempt, 1) + 1
            said |= {place: "" for place in said if place[0] == attempt}


def test_a_step_that_is_tried_again_asks_for_the_same_place_twice() -> None:
    """Nothing was sampled in between: the matcher must not have moved."""
    masks = Masks(compiler())
    for said, expected in (("", "ab"), ("a", "ab"), ("ab", "c$")):
        for _ in range(3):
            assert allowed(masks, row(WORD, said)) == [expected]


def test_an_answer_taken_back_is_followed_from_its_beginning() -> None:
    masks = Masks(compiler())
    assert allowed(masks, row(WORD, "abc")) == ["$"]
    assert allowed(masks, row(WORD, "a")) == ["ab"]
    assert allowed(masks, row(WORD, "ba")) == ["c$"]


def test_what_it_cannot_have_said_fails_its_own_row_only() -> None:
    masks = Masks(compiler())
    for _ in range(2):
        assert allowed(masks, row(WORD, "a", name="x"), row(WORD, "zz", name="y"), row(WORD, "", name="z")) == [
            "ab",
            None,
            "ab",
        ]


def test_another_constraint_under_the_same_name_is_another_attempt() -> None:
    masks = Masks(compiler())
    first, second, third = WORDS
    assert allowed(masks, row(first, "a", name="r", number=1)) == ["ab"]
    assert allowed(masks, row(second, "", name="r", number=2), row(third, "q", name="r", number=3)) == ["xy", "qr"]


def test_a_step_without_rows_forgets_all() -> None:
    masks = Masks(compiler())
    allowed(masks, row(WORD, "a"))
    masks.begin([])
    assert allowed(masks, row(WORD, "ab")) == ["c$"]
    masks.begin([])
    with pytest.raises(RuntimeError, match="nobody began"):
        masks.collect()
