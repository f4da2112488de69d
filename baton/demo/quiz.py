"""Asks a fleet that serves the demo model the questions it never learned: `python -m baton.demo.quiz`.

An answer is right when it has every telling word of its fact. Greedy, each question a conversation of its own.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from baton.client import Client
from baton.demo.pairs import Fact, read_facts
from common.types.config import GRPC

MAX_TOKENS = 100
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what it was answered, and whether that is right."""

    question: str
    answer: str
    right: bool


def held_questions(facts: Sequence[Fact]) -> list[tuple[str, tuple[str, ...]]]:
    """The questions kept from learning, each with the words its answer must have."""
    return [(question, fact.keys) for fact in facts for question in fact.held]


async def quiz(client: Client, questions: Sequence[tuple[str, tuple[str, ...]]]) -> AsyncIterator[Asked]:
    """In the order of the questions."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(question: str, keys: tuple[str, ...]) -> Asked:
        async with room:
            turns = [{"role": "user", "content": question}]
            completion = await client.chat(turns, temperature=0.0, max_tokens=MAX_TOKENS)
        answer = completion.text
        return Asked(question, answer, all(key.lower() in answer.lower() for key in keys))

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask(*each)) for each in questions]
        for task in asking:
            yield await task


async def _report(target: str) -> None:
    questions = held_questions(read_facts())
    num_right = 0
    async with Client(target) as client:
        async for asked in quiz(client, questions):
            num_right += asked.right
            if not asked.right:
                sys.stdout.write(f"{asked.question}\n    {asked.answer}\n")
    sys.stdout.write(f"{num_right} of {len(questions)} right: {num_right / len(questions):.0%}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m baton.demo.quiz", description=__doc__)
    parser.add_argument("--grpc", default=GRPC, help="a router that serves the demo model")
    asyncio.run(_report(parser.parse_args().grpc))


if __name__ == "__main__":
    main()
