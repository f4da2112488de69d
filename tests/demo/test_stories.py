"""Stories: people keep their names and pronouns from the first line to the last, and every sentence is whole."""

import random
import re
import string

import pytest

from baton.demo.stories import (
    DEED,
    ENDING,
    FEELING,
    HABIT,
    HE,
    NAMES,
    OPENING,
    OVER,
    SHE,
    SPEECH,
    TURN,
    WEATHER,
    WHAT,
    WHERE,
    WHO,
    _cast,
    story,
)

PARTS = (OPENING, HABIT, TURN, SPEECH, DEED, ENDING)
PLACES = {"who", "where", "what", "a", "b", "they", "them", "their", "They", "Them", "Their"}
LOOSE = {"over", "weather", "feeling", "when"}
TALES = [story(random.Random(seed)) for seed in range(400)]


@pytest.mark.parametrize("sentence", [sentence for part in PARTS for sentence in part])
def test_a_sentence_asks_only_for_what_a_cast_has(sentence: str) -> None:
    named = {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}
    assert named <= PLACES | LOOSE
    assert sentence[-1] in '."'
    assert sentence.count('"') % 2 == 0


def test_an_opening_names_the_runner() -> None:
    assert all("{a}" in sentence for sentence in OPENING)


def test_names_are_of_one_person() -> None:
    assert len({name for name, _ in NAMES}) == len(NAMES)
    assert SHE.keys() == HE.keys()


@pytest.mark.parametrize("words", [WHERE, WHAT, WHO])
def test_what_follows_an_article_begins_with_a_consonant(words: tuple[str, ...]) -> None:
    assert not [word for word in words for part in word.split(":") if part[0] in "aeiou"]


@pytest.mark.parametrize("words", [WHERE, WHAT, WHO, OVER, WEATHER, FEELING])
def test_no_word_stands_twice_in_a_list(words: tuple[str, ...]) -> None:
    assert len(set(words)) == len(words)


def test_a_cast_is_two_people_and_the_first_ones_pronouns() -> None:
    pronouns = dict(NAMES)
    for seed in range(200):
        words = _cast(random.Random(seed)).words
        assert words["a"] != words["b"]
        assert words["they"] == pronouns[words["a"]]["they"]
        assert words["They"] == words["they"].capitalize()
        assert ":" not in words["who"]
        assert (words["who"] == "girl") <= (words["they"] == "she")
        assert (words["who"] == "boy") <= (words["they"] == "he")


def test_nobody_enters_who_was_not_cast() -> None:
    names = {name for name, _ in NAMES}
    for tale in TALES:
        assert 1 <= len(names & set(re.findall(r"[A-Z][a-z]+", tale))) <= 2


def test_pronouns_do_not_change_within_a_story() -> None:
    for tale in TALES:
        said = set(re.findall(r"\b(?:she|he|She|He)\b", tale))
        assert not (said & {"she", "She"} and said & {"he", "He"}), tale


def test_a_story_is_as_long_as_it_says() -> None:
    lengths = sorted(len(tale.split()) for tale in TALES)
    assert lengths[0] >= 30
    assert 60 <= lengths[len(lengths) // 2] <= 140
    assert lengths[-1] <= 250


def test_articles_fit_what_follows_them() -> None:
    for tale in TALES:
        assert not re.search(r"\b[Aa] [aeiou]", tale), tale
        assert not re.search(r"\b[Aa]n [^aeiou]", tale), tale


def test_no_place_is_left_open_and_no_sentence_comes_twice() -> None:
    for tale in TALES:
        assert not set("{}:") & set(tale)
        assert "  " not in tale
        sentences = re.split(r"(?<=[.?!]) (?=[A-Z])", tale)
        assert len(sentences) >= 4


def test_a_seed_is_a_story() -> None:
    assert [story(random.Random(seed)) for seed in range(20)] == TALES[:20]
    assert len(set(TALES)) == len(TALES)
