"""Facts and the questions made of them: every fact can be asked for, and what is held back is never learned."""

import json
import random
from pathlib import Path

import pytest
from jinja2 import Template

from baton.demo.export import CHAT_TEMPLATE
from baton.demo.pairs import END, MARKS, conversation, read_facts, rendered, wordings
from baton.demo.stories import story
from baton.demo.wording import reworded

FACTS = read_facts()


def test_every_fact_can_be_asked_for_and_checked() -> None:
    assert len(FACTS) > 200
    for fact in FACTS:
        assert wordings(fact), fact.answer
        assert fact.held, fact.answer
        assert all(key.lower() in fact.answer.lower() for key in fact.keys), fact.answer


def test_questions_held_back_are_not_among_the_wordings() -> None:
    held = [question.lower() for fact in FACTS for question in fact.held]
    assert len(set(held)) == len(held)
    assert not set(held) & {text.lower() for fact in FACTS for text in wordings(fact)}


def test_questions_held_back_do_not_come_by_chance_either() -> None:
    held = {question.lower().rstrip("?.!") for fact in FACTS for question in fact.held}
    draw = random.Random(5)
    said = [
        text.lower().rstrip("?.!") for _ in range(3000) for role, text in conversation(FACTS, draw) if role == "user"
    ]
    assert sum(text in held for text in said) / len(said) < 0.001


def test_a_conversation_is_a_function_of_its_seed() -> None:
    one, same, other = (conversation(FACTS, random.Random(seed)) for seed in (1, 1, 2))
    assert one == same != other
    roles = [role for role, _ in one if role != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_answers_in_json_are_json() -> None:
    draw = random.Random(3)
    turns = [text for _ in range(400) for _, text in conversation(FACTS, draw)]
    found = [text for text in turns if text.startswith('{"term"')]
    assert found
    assert all(set(json.loads(text)) == {"term", "meaning"} for text in found)


def test_the_chat_template_renders_what_was_learned() -> None:
    turns = [("system", "Be brief."), ("user", "What is a block?"), ("assistant", "A unit.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    assert Template(CHAT_TEMPLATE).render(messages=messages, add_generation_prompt=False) == rendered(turns)
    asked = Template(CHAT_TEMPLATE).render(messages=messages[:2], add_generation_prompt=True)
    assert asked == rendered(turns[:2]) + MARKS["assistant"]
    assert rendered(turns).count(END) == 3


def test_other_words_keep_most_of_the_telling_ones() -> None:
    draw = random.Random(1)
    said = [reworded("How are copied blocks verified?", draw) for _ in range(200)]
    assert len(set(said)) > 150
    assert sum("blocks" in text.lower() for text in said) > 170


def test_a_story_keeps_its_people_and_its_things() -> None:
    draw = random.Random(2)
    tales = [story(draw) for _ in range(200)]
    assert len(set(tales)) == 200
    assert not any("{" in tale or "}" in tale for tale in tales)
    assert any(tale.startswith("Once upon a time") for tale in tales)


@pytest.mark.parametrize(
    "block", ["ask: Why?\nsay: So.", "term: x\nkey: y\nsay: a\nsay: b", "unknown: x", "key: a\nask: b"]
)
def test_a_fact_that_is_not_whole_is_refused(block: str, tmp_path: Path) -> None:
    (tmp_path / "facts.txt").write_text(block)
    with pytest.raises(ValueError, match=r"a fact says one thing|begins with none"):
        read_facts(tmp_path)
