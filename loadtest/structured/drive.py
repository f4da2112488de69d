"""Answers constraints with a model of random logits, through the workers' own sampler and masks.

Halfway through each answer the masks are made anew, as on the worker that takes over after a hand-off or a loss: what
was said so far is replayed. The longer an answer gets, the likelier are the tokens that close what is open.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from common.engine.masks import Masks
from common.engine.plan import SampleRow
from common.engine.sampler import Sampler
from common.kernels.logits import Logits
from common.text.compiler import Compiler
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest
from common.types.ids import AttemptId
from common.types.sampling import Sampling

BATCH = 32
PATIENCE = 40
"""Tokens after which the model begins to long for the end."""
CLOSING = {'"': 3.0, "}": 2.0, "]": 2.0, ",": 0.5, ":": 0.5}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one constraint: refused with a reason, cut at the token limit, or answered."""

    constraint: Constraint
    text: str = ""
    refused: str = ""
    cut: bool = False
    failed: bool = False


class Driver:
    """One vocabulary, any number of constraints."""

    def __init__(self, compiler: Compiler, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._compiler = compiler
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._width = compiler.vocabulary.tokens.vocab_size
        self._longing = self._find_closing()

    def outcomes(self, constraints: Sequence[Constraint], seed: int) -> Iterator[Outcome]:
        """In no particular order."""
        waiting = iter(constraints)
        for number in range(-(-len(constraints) // BATCH)):
            accepted: list[Constraint] = []
            for constraint in islice(waiting, BATCH):
                try:
                    self._compiler.check(constraint)
                    accepted.append(constraint)
                except InvalidRequest as error:
                    yield Outcome(constraint, refused=str(error))
            yield from self._answer(accepted, seed + number)

    def _answer(self, constraints: list[Constraint], seed: int) -> Iterator[Outcome]:
        random = np.random.default_rng(seed)
        moves = random.integers(1, PATIENCE, len(constraints)).tolist()
        first, second = Sampler(Masks(self._compiler)), Sampler(Masks(self._compiler))
        tokens: list[list[int]] = [[0] for _ in constraints]
        open_places = list(range(len(constraints)))
        while open_places:
            still: list[int] = []
            stayed = [place for place in open_places if len(tokens[place]) <= moves[place]]
            moved = [place for place in open_places if len(tokens[place]) > moves[place]]
            for sampler, places in ((first, stayed), (second, moved)):
                for place, outcome in self._step(sampler, constraints, tokens, places, seed, random):
                    if outcome is None:
                        still.append(place)
                    else:
                        yield outcome
            open_places = sorted(still)

    def _step(
        self,
        sampler: Sampler,
        constraints: list[Constraint],
        tokens: list[list[int]],
        places: list[int],
        seed: int,
        random: np.random.Generator,
    ) -> Iterator[tuple[int, Outcome | None]]:
        rows = [self._row(constraints[place], tokens[place], place, seed) for place in places]
        if not rows:
            return
        sampler.begin(rows)
        logits = random.standard_normal((len(rows), self._width)).astype(np.float32)
        for row, logit in zip(rows, logits, strict=True):
            if row.index % 2:  # in between it says anything, lest it never says what must come before the end
                logit += self._longing * max(0, row.index - PATIENCE) * 0.1
        sampled = sampler.choose(Logits.of(torch.from_numpy(logits)), range(len(rows)), rows)
        for place, chosen in zip(places, sampled, strict=True):
            constraint, said = constraints[place], tokens[place]
            if chosen is None:
                yield place, Outcome(constraint, self._text(said), failed=True)
            elif chosen.ended:
                yield place, Outcome(constraint, self._text(said))
            else:
                said.append(chosen.token_id)
                cut = len(said) > self._max_tokens
                yield place, Outcome(constraint, self._text(said), cut=True) if cut else None

    def _row(self, constraint: Constraint, tokens: list[int], place: int, seed: int) -> SampleRow:
        sampling = Sampling(seed=seed, constraint=constraint, stop_token_ids=self._compiler.vocabulary.end_ids)
        return SampleRow(0, AttemptId(f"r{seed}-{place}", 1), 0, len(tokens) - 1, sampling, tokens, 1)

    def _text(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens[1:], skip_special_tokens=False)

    def _find_closing(self) -> npt.NDArray[np.float32]:
        longing = np.zeros(self._width, dtype=np.float32)
        for token in range(self._tokenizer.vocab_size):
            text = self._tokenizer.decode([token]).strip()
            if text and all(char in CLOSING for char in text):
                longing[token] = min(CLOSING[char] for char in text)
        longing[list(self._compiler.vocabulary.end_ids)] = 4.0
        return longing
