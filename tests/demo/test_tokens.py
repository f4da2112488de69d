"""Rows of tokens: nothing of a document is lost or learned twice, and the mixture keeps its numbers apart."""

import numpy as np
import pytest
from tokenizers import Tokenizer

from baton.demo.lessons import FIRST, KINDS, LOOKING, NUM_ROWS, THEN, TURN, Lessons, _before
from baton.demo.pairs import END, MARKS, Fact
from baton.demo.tokens import IGNORED, SPECIAL, Ids, Prose, Stories, Talks, mark_id, train_tokenizer

LENGTH = 16
FACT = Fact(("a block",), (), (), ("Which unit holds KV?",), ("What holds KV?",), ("unit",), "A unit of KV memory.")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["A unit of KV memory.", "Once upon a time there was a runner."] * 20, 300)


def numbered(num_ids: int, seed: int = 1) -> Prose:
    """Prose whose tokens say where they stand."""
    return Prose(np.arange(num_ids, dtype=np.int64), seed)


def test_marks_are_the_first_tokens_and_are_never_split(tokenizer: Tokenizer) -> None:
    assert [mark_id(tokenizer, mark) for mark in SPECIAL] == [0, 1, 2, 3]
    assert tokenizer.encode(f"{MARKS['user']}Hi{END}").ids[0] == mark_id(tokenizer, MARKS["user"])
    assert tokenizer.encode(f"Hi{END}").ids[-1] == mark_id(tokenizer, END)


def test_the_same_texts_make_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    again = train_tokenizer(["A unit of KV memory.", "Once upon a time there was a runner."] * 20, 300)
    assert again.to_str() == tokenizer.to_str()


def test_every_document_has_its_end(tokenizer: Tokenizer) -> None:
    prose = Prose.of(tokenizer, ["one", "two two", ""], 1)
    end = mark_id(tokenizer, END)
    assert list(prose.ids).count(end) == 3
    assert tokenizer.decode([int(id) for id in prose.ids], skip_special_tokens=True) == "onetwo two"


@pytest.mark.parametrize("num_ids", [3 * LENGTH + 1, 100, 1000])
def test_a_turn_through_prose_has_each_stretch_once(num_ids: int) -> None:
    prose = numbered(num_ids)
    num_rows = (num_ids - 1) // LENGTH - 1
    begins = [int(prose.row(number, LENGTH)[0][0]) for number in range(num_rows)]
    assert len(set(begins)) == num_rows
    assert {begin % LENGTH for begin in begins} == {begins[0] % LENGTH}
    assert max(begins) - min(begins) == (num_rows - 1) * LENGTH


def test_the_next_turn_has_another_order_and_another_cut() -> None:
    prose = numbered(4000)
    num_rows = (4000 - 1) // LENGTH - 1
    turns = [[int(prose.row(turn * num_rows + n, LENGTH)[0][0]) for n in range(num_rows)] for turn in range(3)]
    orders = [tuple(begin // LENGTH for begin in turn) for turn in turns]
    assert len(set(orders)) == 3
    assert all(list(order) != sorted(order) for order in orders)
    assert len({turn[0] % LENGTH for turn in turns}) > 1


@pytest.mark.parametrize("number", [0, 1, 7, 61, 62, 63, 500])
def test_prose_is_whole_rows_with_the_next_token_as_target(number: int) -> None:
    inputs, targets = numbered(1000).row(number, LENGTH)
    assert len(inputs) == len(targets) == LENGTH
    assert (targets == inputs + 1).all()


@pytest.mark.parametrize("num_ids", [0, 1, LENGTH, 2 * LENGTH])
def test_too_little_prose_for_a_row_is_told(num_ids: int) -> None:
    with pytest.raises(ValueError, match=f"{num_ids} tokens of prose are too few for rows of {LENGTH}"):
        numbered(num_ids).row(0, LENGTH)


def test_the_least_prose_there_may_be_is_one_row() -> None:
    inputs, targets = numbered(2 * LENGTH + 1).row(5, LENGTH)
    assert len(inputs) == len(targets) == LENGTH
    assert (targets == inputs + 1).all()


def test_another_seed_gives_other_rows() -> None:
    one, other = ([int(numbered(1000, seed).row(n, LENGTH)[0][0]) for n in range(20)] for seed in (1, 2))
    assert one != other


def test_stories_fill_a_row_and_end_between(tokenizer: Tokenizer) -> None:
    stories = Stories(tokenizer, 1)
    inputs, targets = stories.row(4, 600)
    assert len(inputs) == len(targets) == 600
    assert (inputs[1:] == targets[:-1]).all()
    assert mark_id(tokenizer, END) in inputs
    assert not np.array_equal(inputs, stories.row(5, 600)[0])
    assert np.array_equal(inputs, Stories(tokenizer, 1).row(4, 600)[0])


def test_a_mark_is_never_a_target_and_an_answers_end_is(tokenizer: Tokenizer) -> None:
    _, targets = Talks(tokenizer, (FACT,), 3).row(0, 400)
    marks = [mark_id(tokenizer, mark) for mark in MARKS.values()]
    assert not np.isin(targets, marks).any()
    learned = targets[targets != IGNORED]
    assert mark_id(tokenizer, END) in learned
    said = tokenizer.decode([int(id) for id in learned])
    assert FACT.answer in said.replace('"', "")
    assert FACT.questions[0] not in said


def test_what_is_learned_is_what_comes_next(tokenizer: Tokenizer) -> None:
    inputs, targets = Talks(tokenizer, (FACT,), 3).row(2, 300)
    known = np.flatnonzero(targets[:-1] != IGNORED)
    assert (targets[known] == inputs[known + 1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_kind_are_counted_without_gaps(kind: str) -> None:
    for step in (0, 1, TURN - 1, TURN, TURN + 1, TURN + 90):
        share = FIRST[kind] if step < TURN else THEN[kind]
        assert _before(step + 1, kind) - _before(step, kind) == share
    assert _before(0, kind) == 0


def test_rows_for_looking_are_never_learned_from() -> None:
    asked: dict[str, list[int]] = {"learned": [], "looked": []}

    def rows(name: str) -> dict[str, object]:
        def row(number: int, length: int) -> tuple[Ids, Ids]:
            asked[name].append(number)
            return np.zeros(length, np.int64), np.zeros(length, np.int64)

        return dict.fromkeys(KINDS, row)

    lessons = Lessons(None, rows("learned"), rows("looked"))  # type: ignore[arg-type]
    ids, _ = lessons.step(3000)
    looked, _ = lessons.look("talks")
    assert ids.shape == looked.shape == (NUM_ROWS, 512)
    assert max(asked["learned"]) < LOOKING <= min(asked["looked"])
    assert len(set(asked["looked"])) == NUM_ROWS
