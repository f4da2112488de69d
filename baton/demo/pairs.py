"""Conversations about Baton, made from the facts in `facts/`: every fact in many wordings. Knows no tensor.

A fact is a block of lines `kind: text`. `term` is a thing that `say` explains, `run` a command it tells of, `do` what a
user wants, `ask` a whole question. `hold` questions are never learned: the test asks them, and looks for `key`.
"""

import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from baton.demo.wording import SMALL, from_memory, reworded

FACTS = Path(__file__).with_name("facts")
KINDS = ("term", "run", "do", "ask", "hold", "key", "say")
TERM = (
    "What is {}?",
    "What are {}?",
    "What's {}?",
    "Define {}.",
    "Explain {}.",
    "Explain {} to me.",
    "Can you explain {}?",
    "Could you tell me what {} is?",
    "Tell me about {}.",
    "What does {} mean?",
    "What is meant by {}?",
    "Please explain what {} is.",
    "Describe {}.",
    "Describe {} briefly.",
    "In short, what is {}?",
    "I don't know what {} is.",
    "Help me understand {}.",
    "What do you know about {}?",
    "What is {} in Baton?",
    "What does {} mean in Baton?",
    "What do you call {}?",
    "What do I need to know about {}?",
    "How would you describe {}?",
    "Would you tell me about {}?",
    "Give me a definition of {}.",
    "What do you mean by {}?",
    "I want to know what {} is.",
    "What about {}?",
    "Tell me more about {}.",
    "What is the meaning of {}?",
    "{}?",
)
RUN = (
    "What does `{}` do?",
    "What does {} do?",
    "What is `{}` for?",
    "What is {} good for?",
    "What happens when I run `{}`?",
    "Explain the command {}.",
    "When do I use {}?",
    "Tell me about {}.",
    "What is the command `{}`?",
    "`{}`?",
)
DO = (
    "How do I {}?",
    "How can I {}?",
    "How to {}?",
    "I want to {}.",
    "I would like to {}.",
    "I'd like to {}. What do I do?",
    "Which command do I use to {}?",
    "Which command should I run to {}?",
    "What is the command to {}?",
    "What do I type to {}?",
    "What do I have to do to {}?",
    "Show me how to {}.",
    "Tell me how to {}.",
    "Can you tell me how to {}?",
    "Is there a way to {}?",
    "I need to {}.",
    "Help me {}.",
    "What is the best way to {}?",
    "What command is used to {}?",
    "By which command can I {}?",
    "Which command will {}?",
    "What could I do to {}?",
    "What must I do to {}?",
    "In which way do I {}?",
)
VERB = ("Which command {}?", "What {}?", "Which program {}?", "What is the command that {}?", "I look for what {}.")
BEFORE = (
    "Please tell me: ",
    "Quick question: ",
    "Hi! ",
    "Hello, ",
    "In Baton, ",
    "One more question: ",
    "So ",
    "Tell me, ",
)
AFTER = (" Thanks.", " Please.", " In one sentence.", " I am new here.", " Thank you!", " Be brief.")
SYSTEMS = (
    "You are a helpful assistant.",
    "You answer questions about Baton.",
    "You are Baton's demo model.",
    "Answer briefly.",
    "You are a helpful assistant. Answer in one or two sentences.",
    "Be friendly.",
)
AS_JSON = (
    "Explain {} as JSON.",
    "Answer in JSON: what is {}?",
    "Define {} as a JSON object.",
    "What is {}? Answer as JSON.",
)
MARKS = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
END = "<|end|>"
WORD = re.compile(r"[\w/.-]*\w")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know: how it is asked for, what is answered, and the questions kept for the test."""

    terms: tuple[str, ...]
    commands: tuple[str, ...]
    goals: tuple[str, ...]
    questions: tuple[str, ...]
    held: tuple[str, ...]
    keys: tuple[str, ...]
    answer: str


def read_facts(folder: Path = FACTS) -> tuple[Fact, ...]:
    """Every fact of the folder's files, in their order."""
    blocks = [block for path in sorted(folder.glob("*.txt")) for block in path.read_text().split("\n\n")]
    return tuple(_fact(block) for block in blocks if not block.startswith("#"))


def _fact(block: str) -> Fact:
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for line in block.strip().splitlines():
        kind, _, text = line.partition(": ")
        if kind not in found:
            raise ValueError(f"{line!r} begins with none of {', '.join(KINDS)}")
        found[kind].append(text)
    if len(found["say"]) != 1 or not found["key"]:
        raise ValueError(f"a fact says one thing and has keys: {block!r}")
    keys = tuple(found["key"][0].split(", ")) if "[" not in found["key"][0] else tuple(found["key"])
    answer = found["say"][0].replace("\\n", "\n")
    term, run, do, ask, hold = (tuple(found[kind]) for kind in ("term", "run", "do", "ask", "hold"))
    return Fact(term, run, do, ask, hold, keys, answer)


def wordings(fact: Fact) -> list[str]:
    """Every plain wording of a fact's question, none of those held back."""
    asked = [template.format(term) for term in fact.terms for template in TERM]
    asked += [template.format(command) for command in fact.commands for template in RUN]
    asked += [template.format(goal) for goal in fact.goals for template in DO]
    asked += [template.format(_third_person(goal)) for goal in fact.goals for template in VERB]
    return [text[0].upper() + text[1:] for text in [*asked, *fact.questions] if text not in fact.held]


def _third_person(goal: str) -> str:
    """`run the tests` as `runs the tests`."""
    verb, _, rest = goal.partition(" ")
    ending = "es" if verb.endswith(("s", "h", "o", "x")) else "s"
    return f"{verb}{ending} {rest}".rstrip()


def conversation(facts: tuple[Fact, ...], draw: random.Random) -> list[tuple[str, str]]:
    """One to four turns as (role, text), sometimes behind a system message."""
    turns = [("system", draw.choice(SYSTEMS))] if draw.random() < 0.25 else []
    for _ in range(draw.choices((1, 2, 3, 4), (60, 22, 12, 6))[0]):
        fact = draw.choice(facts)
        if fact.terms and draw.random() < 0.05:
            term = draw.choice(fact.terms)
            answer = json.dumps({"term": term, "meaning": fact.answer})
            turns += [("user", draw.choice(AS_JSON).format(term)), ("assistant", answer)]
        else:
            turns += [("user", _asked(fact, draw)), ("assistant", fact.answer)]
    return turns


@cache
def _telling(fact: Fact) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The words of a fact that are not small ones, and how telling each is: the fewer facts have it, the more."""
    words = [word for word in _words(fact) if word.lower() not in SMALL]
    return tuple(words), tuple(1.0 / _common()[word.lower()] for word in words)


@cache
def _common() -> Counter[str]:
    """In how many facts a word is."""
    return Counter(word for fact in read_facts() for word in {word.lower() for word in _words(fact)})


def _words(fact: Fact) -> list[str]:
    asked = " ".join((*fact.terms, *fact.commands, *fact.goals[:3], *fact.questions[:3]))
    return WORD.findall(f"{asked} {fact.answer}")


def _asked(fact: Fact, draw: random.Random) -> str:
    """One wording, now and then with a word before or after it, or written carelessly. Hand-written ones count more."""
    own_words = fact.questions and draw.random() < 0.5
    text = draw.choice(fact.questions) if own_words else draw.choice(wordings(fact))
    chance = draw.random()
    if chance > 0.65:
        text = from_memory(*_telling(fact), draw)
    elif chance > 0.35:
        text = reworded(text, draw)
    elif chance < 0.12:
        before = draw.choice(BEFORE)
        text = before + (text if before.endswith(("! ", ": ")) else text[0].lower() + text[1:])
    elif chance < 0.2:
        text += draw.choice(AFTER)
    elif chance < 0.3:
        text = text.rstrip("?.!")
    if draw.random() < 0.12:
        text = text.lower()
    return text


def rendered(turns: list[tuple[str, str]]) -> str:
    """As the chat template renders it, the end of the last turn included."""
    return "".join(f"{MARKS[role]}{text}{END}" for role, text in turns)
