"""Other words for the same question: what the tables promise, and what is left of a question afterwards."""

import random
import string
from collections import Counter

import pytest

from baton.demo.pairs import AFTER, BEFORE, DO, RUN, TERM, VERB, Fact, _third_person, wordings
from baton.demo.wording import BEGINNINGS, FRAMES, GROUPS, OTHERS, SMALL, STRAY, from_memory, reworded

QUESTIONS = (
    "How are copied blocks verified?",
    "What is a lease?",
    "which command shows the fleet",
    "Why?",
    "`baton up`?",
    "Is KV memory, of all things, zeroed?",
)


def test_words_stand_for_each_other_both_ways() -> None:
    for group in GROUPS:
        assert len(set(group)) == len(group)
        for word in group:
            assert set(group) - {word} <= set(OTHERS[word])
            assert word not in OTHERS[word]


def test_a_word_of_two_groups_has_the_others_of_both() -> None:
    assert {"launch", "begin", "start"} <= set(OTHERS["run"])
    assert {"fails", "is lost"} <= set(OTHERS["dies"])


def test_small_and_stray_words_are_plain() -> None:
    assert all(word == word.lower() and word.isalpha() for word in (*SMALL, *STRAY))
    assert not SMALL & {"worker", "machine", "block", "measure"}


@pytest.mark.parametrize("templates", [FRAMES, TERM, RUN, DO, VERB])
def test_every_template_has_one_place_for_what_is_asked(templates: tuple[str, ...]) -> None:
    for template in templates:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        assert fields == [""], template


def test_what_is_put_around_a_question_keeps_it_apart() -> None:
    assert all(text.endswith(" ") for text in BEFORE)
    assert all(text.startswith(" ") for text in AFTER)
    assert all(text == text.strip() for text in BEGINNINGS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_reworded_question_is_a_line_that_begins_large(question: str) -> None:
    for seed in range(60):
        said = reworded(question, random.Random(seed))
        assert said.strip()
        assert "\n" not in said
        assert "  " not in said
        assert "{" not in said
        assert not said[0].islower()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_seed_is_a_wording(question: str) -> None:
    assert reworded(question, random.Random(9)) == reworded(question, random.Random(9))


def test_no_word_comes_from_nowhere() -> None:
    question = "How are copied blocks verified?"
    known = {word.strip("?").lower() for word in question.split()} | set(STRAY)
    known |= {word for frame in FRAMES for word in frame.lower().replace("{}", " ").split()}
    known |= {part for word in ("how",) for other in OTHERS[word] for part in other.split()}
    for seed in range(200):
        said = {word.strip("?.!:,").lower() for word in reworded(question, random.Random(seed)).split()}
        assert said - {""} <= {word.strip("?.!:,") for word in known}, seed


WORDS = ("decode", "leases", "router", "blocks", "quarantine")


def test_memory_keeps_the_order_of_the_answer_more_often_than_not() -> None:
    kept = 0
    for seed in range(300):
        said = from_memory(WORDS, [1.0] * len(WORDS), random.Random(seed)).lower()
        places = [said.index(word[:5]) for word in WORDS if word[:5] in said]
        kept += places == sorted(places)
    assert kept > 200


def test_what_is_telling_is_remembered_and_the_rest_is_not() -> None:
    heard: Counter[str] = Counter()
    for seed in range(300):
        said = from_memory(WORDS, [1, 1, 1, 1, 100], random.Random(seed)).lower()
        heard.update(word for word in WORDS if word[:6] in said)
    assert heard["quarantine"] > 290
    assert max(heard[word] for word in WORDS[:-1]) < 100


def test_one_word_is_enough_to_remember() -> None:
    for seed in range(40):
        assert "kv" in from_memory(("KV",), (1.0,), random.Random(seed)).lower()


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("run the tests", "runs the tests"),
        ("stop", "stops"),
        ("push it", "pushes it"),
        ("do nothing", "does nothing"),
        ("fix a leak", "fixes a leak"),
        ("pass a flag", "passes a flag"),
    ],
)
def test_a_goal_is_told_of_a_command(goal: str, said: str) -> None:
    assert _third_person(goal) == said


def test_a_question_kept_for_the_test_is_no_wording_of_its_fact() -> None:
    fact = Fact(("a lease",), (), (), ("Who renews it?",), ("What is a lease?",), ("time",), "A time.")
    said = wordings(fact)
    assert "What is a lease?" not in said
    assert "Define a lease." in said
    assert said[-1] == "Who renews it?"
    assert len(said) == len(TERM) - 1 + 1
