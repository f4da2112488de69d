"""The demo model's tokenizer, and rows of tokens to learn from. Every row is a function of seed and number.

So training can go on anywhere without having kept where it was: step k asks for the same rows whoever asks.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from baton.demo.pairs import END, MARKS, Fact, conversation
from baton.demo.stories import story

SPECIAL = (END, *MARKS.values())
IGNORED = -100
"""The target that no loss is computed for: what the user says need not be learned."""

Ids = NDArray[np.int64]


def train_tokenizer(texts: Iterable[str], vocab: int) -> Tokenizer:
    """A byte-level BPE: any text has tokens, and none is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def mark_id(tokenizer: Tokenizer, mark: str) -> int:
    """The token of a mark such as the end."""
    found = tokenizer.token_to_id(mark)
    if found is None:
        raise ValueError(f"the tokenizer has no {mark}")
    return found


@dataclass(frozen=True, slots=True)
class Prose:
    """Documents one after the other, an end after each, cut into rows; each time through in another order."""

    ids: Ids
    seed: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: Iterable[str], seed: int) -> "Prose":
        end = mark_id(tokenizer, END)
        pieces = [np.array([*encoding.ids, end], dtype=np.int64) for encoding in tokenizer.encode_batch(list(texts))]
        return cls(np.concatenate(pieces), seed)

    def row(self, number: int, length: int) -> tuple[Ids, Ids]:
        """Inputs and targets of the row of this number, [length] each."""
        num_rows = (
            len(self.ids) - 1
        ) // length - 1  # one less than fit, so that a turn may begin anywhere in the first
        if num_rows < 1:
            raise ValueError(f"{len(self.ids)} tokens of prose are too few for rows of {length}")
        turn, place = divmod(number, num_rows)
        order = np.random.default_rng((self.seed, turn))
        shift = int(order.integers(length))
        start = int(order.permutation(num_rows)[place]) * length + shift
        window = self.ids[start : start + length + 1]
        return window[:-1], window[1:]


@dataclass(frozen=True, slots=True)
class Stories:
    """Stories, as many as a row takes."""

    tokenizer: Tokenizer
    seed: int

    def row(self, number: int, length: int) -> tuple[Ids, Ids]:
        draw = random.Random(f"story {self.seed} {number}")
        end = mark_id(self.tokenizer, END)
        ids: list[int] = []
        while len(ids) <= length:
            ids += [*self.tokenizer.encode(story(draw)).ids, end]
        window = np.array(ids[: length + 1], dtype=np.int64)
        return window[:-1], window[1:]


@dataclass(frozen=True, slots=True)
class Talks:
    """Conversations, as many as a row takes. Only what the assistant says is a target."""

    tokenizer: Tokenizer
    facts: tuple[Fact, ...]
    seed: int

    def row(self, number: int, length: int) -> tuple[Ids, Ids]:
        draw = random.Random(f"talk {self.seed} {number}")
        ids: list[int] = []
        heard: list[bool] = []
        while len(ids) <= length:
            for role, text in conversation(self.facts, draw):
                said = [*self.tokenizer.encode(text).ids, mark_id(self.tokenizer, END)]
                ids += [mark_id(self.tokenizer, MARKS[role]), *said]
                heard += [False, *[role == "assistant"] * len(said)]
        window = np.array(ids[: length + 1], dtype=np.int64)
        targets = np.where(np.array(heard[: length + 1]), window, IGNORED)
        return window[:-1], targets[1:]
