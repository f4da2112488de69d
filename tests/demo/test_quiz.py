"""The quiz: which questions are asked, how many at once, what counts as right. The fleet is a stand-in."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from baton.demo.pairs import Fact, read_facts
from baton.demo.quiz import AT_ONCE, MAX_TOKENS, Asked, held_questions, quiz
from common.types.errors import Overloaded


class FakeClient:
    """Answers by question; remembers what was asked, and how much of it at the same time."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[tuple[list[dict[str, str]], dict[str, Any]]] = []
        self.num_now = self.most = 0

    async def chat(self, turns: list[dict[str, str]], **options: Any) -> SimpleNamespace:
        self.asked.append((turns, options))
        self.num_now += 1
        self.most = max(self.most, self.num_now)
        # the later a question, the earlier its answer
        for _ in range(40 - len(self.asked) % 40):
            await asyncio.sleep(0)
        self.num_now -= 1
        answer = self.answers[turns[-1]["content"]]
        if answer == "full":
            raise Overloaded("full", 100)
        return SimpleNamespace(text=answer)


async def asked(client: FakeClient, questions: Sequence[tuple[str, tuple[str, ...]]]) -> list[Asked]:
    return [each async for each in quiz(client, questions)]  # type: ignore[arg-type]


def fact(held: tuple[str, ...], keys: tuple[str, ...]) -> Fact:
    return Fact((), (), (), (), held, keys, "An answer.")


def test_each_question_kept_back_comes_with_its_facts_words() -> None:
    facts = [fact(("Why?", "What for?"), ("speed",)), fact((), ("x",)), fact(("Who?",), ("router", "worker"))]
    assert held_questions(facts) == [
        ("Why?", ("speed",)),
        ("What for?", ("speed",)),
        ("Who?", ("router", "worker")),
    ]


def test_the_real_quiz_has_a_question_for_every_fact() -> None:
    facts = read_facts()
    questions = held_questions(facts)
    assert len(questions) >= len(facts)
    assert all(keys and all(keys) for _, keys in questions)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The router sends it to a worker.", True),
        ("the ROUTER, and every Worker", True),
        ("The router.", False),
        ("", False),
        ("A routers' workers", True),
    ],
)
async def test_an_answer_is_right_with_every_telling_word(answer: str, right: bool) -> None:
    (found,) = await asked(FakeClient({"Who?": answer}), [("Who?", ("router", "worker"))])
    assert found == Asked("Who?", answer, right)


async def test_answers_come_in_the_order_of_the_questions_and_not_all_at_once() -> None:
    questions = [(f"Question {number}?", (str(number),)) for number in range(3 * AT_ONCE)]
    client = FakeClient({question: f"It is {keys[0]}." for question, keys in questions})
    found = await asked(client, questions)
    assert [each.question for each in found] == [question for question, _ in questions]
    assert all(each.right for each in found)
    assert client.most == AT_ONCE


async def test_a_question_is_a_conversation_of_its_own_asked_greedily() -> None:
    client = FakeClient({"Why?": "so", "Who?": "I"})
    await asked(client, [("Why?", ("so",)), ("Who?", ("I",))])
    assert [turns for turns, _ in client.asked] == [
        [{"role": "user", "content": "Why?"}],
        [{"role": "user", "content": "Who?"}],
    ]
    assert all(options == {"temperature": 0.0, "max_tokens": MAX_TOKENS} for _, options in client.asked)


async def test_a_fleet_that_refuses_ends_the_quiz() -> None:
    client = FakeClient({"Why?": "full", "Who?": "I"})
    with pytest.raises(ExceptionGroup) as failed:
        await asked(client, [("Why?", ("so",)), ("Who?", ("I",))])
    assert failed.group_contains(Overloaded)


async def test_no_questions_are_no_answers() -> None:
    assert await asked(FakeClient({}), []) == []
