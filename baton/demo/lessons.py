"""What is learned in each step: so many rows of documentation, docstrings, code, stories and conversations.

Owns the mixture and what is kept back to see how well it goes. Knows no model.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from baton.demo.corpus import code, docstrings, documentation, topics
from baton.demo.pairs import conversation, read_facts, rendered
from baton.demo.stories import story
from baton.demo.tokens import Ids, Prose, Stories, Talks, train_tokenizer

ROW_TOKENS = 512
FIRST = {"docs": 6, "strings": 2, "code": 2, "stories": 1, "talks": 5}
THEN = {"docs": 7, "strings": 2, "code": 2, "stories": 1, "talks": 4}
TURN = 400
"""Rows of each kind in a step, before and from this step on: conversations are learned long before prose is."""
KINDS, NUM_ROWS = tuple(FIRST), sum(FIRST.values())
KEPT_BACK = 40
"""Every so manyth document is for looking, not for learning."""
LOOKING = 1_000_000
"""Rows from this number on are for looking."""

Rows = Callable[[int, int], tuple[Ids, Ids]]


@dataclass(frozen=True, slots=True)
class Lessons:
    """The rows by kind, those to learn from and those to look at."""

    tokenizer: Tokenizer
    kinds: Mapping[str, Rows]
    kept: Mapping[str, Rows]

    def step(self, number: int) -> tuple[Ids, Ids]:
        """Inputs and targets of a step, [rows, tokens] each."""
        shares = FIRST if number < TURN else THEN
        rows = [
            self.kinds[kind](_before(number, kind) + index, ROW_TOKENS)
            for kind in KINDS
            for index in range(shares[kind])
        ]
        return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])

    def look(self, kind: str) -> tuple[Ids, Ids]:
        """As many rows that were never learned from, of one kind."""
        rows = [self.kept[kind](LOOKING + index, ROW_TOKENS) for index in range(NUM_ROWS)]
        return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def _before(step: int, kind: str) -> int:
    """How many rows of a kind the steps before had."""
    return min(step, TURN) * FIRST[kind] + max(0, step - TURN) * THEN[kind]


def read_lessons(vocab: int, seed: int, tokenizer: Tokenizer | None = None) -> Lessons:
    """Reads what this machine has; the tokenizer is learned from it unless one is given."""
    facts = read_facts()
    texts = {"docs": [*documentation(), *topics()], "strings": list(docstrings()), "code": list(code())}
    kept = {kind: found[::KEPT_BACK] for kind, found in texts.items()}
    for kind in texts:
        texts[kind] = [text for index, text in enumerate(texts[kind]) if index % KEPT_BACK]
    if tokenizer is None:
        draw = random.Random(seed)
        tales = [story(draw) for _ in range(3000)]
        talks = [rendered(conversation(facts, draw)) for _ in range(8000)]
        tokenizer = train_tokenizer(
            [*texts["docs"], *texts["strings"], *islice(texts["code"], 200), *tales, *talks], vocab
        )
    kinds: dict[str, Rows] = {kind: Prose.of(tokenizer, found, seed).row for kind, found in texts.items()}
    looked: dict[str, Rows] = {kind: Prose.of(tokenizer, found, seed).row for kind, found in kept.items()}
    for every in (kinds, looked):
        every["stories"] = Stories(tokenizer, seed).row
        every["talks"] = Talks(tokenizer, facts, seed).row
    return Lessons(tokenizer, kinds, looked)
