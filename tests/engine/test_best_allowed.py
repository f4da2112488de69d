"""Rows that want the best allowed token: it is the same one whichever way it is found."""

import functools
import random
from concurrent.futures import wait
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from common.engine.guide import Asking
from common.engine.masks import Masks
from common.engine.plan import Sampled, SampleRow
from common.engine.sampler import Sampler
from common.kernels.logits import Logits
from common.text.compiler import Compiler, Vocabulary
from common.text.special import SpecialTokens
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint
from common.types.ids import AttemptId
from common.types.sampling import Sampling

END = 1
TEXT = """{"name": "a lane", "kind": ["runner", "baton", 12.5, true, null], "words": "one, two. three four\\n"} """
CONSTRAINTS = (
    Constraint.regex(r"(\w{1,12}[ ,.]){40}"),
    Constraint.regex(r"(?s:.{30,60})"),
    Constraint.regex(r"[a-e ]{3,7}"),
    Constraint.regex(r"ab(cd)*e?"),
    Constraint.choice(["a lane", "a line", "a lantern"]),
    Constraint.json_object(),
    Constraint.json_schema({"type": "array", "items": {"enum": ["runner", "running", 12, None]}, "minItems": 2}),
    Constraint.json_schema({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}}),
)
ALWAYS = Asking(dear_s=-1.0, broad=0.0)
NEVER = Asking(num_asked=0)
WAYS = ("product", "asked", "copy")


@functools.cache
def vocabulary() -> Vocabulary:
    """Tokens of several letters, one of whose texts two tokens share, and a few that are no text at all."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special, letters = ["<|begin|>", "<|end|>"], sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=letters, show_progress=False)
    backend.train_from_iterator([TEXT * 20, "running runners run lanterns on lanes " * 20], trainer)
    return Vocabulary(Tokenizer(backend, SpecialTokens({}, (), ())), 410, (END,))


class Turn:
    """One sampler that takes its way through every step."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._masks = Masks(Compiler(vocabulary()), asking=ALWAYS if way == "asked" else NEVER)
        self._sampler = Sampler(self._masks)

    def step(self, values: torch.Tensor, rows: list[SampleRow]) -> list[Sampled | None]:
        self._sampler.begin(rows)
        places = range(len(rows))
        under = None
        if self._way == "product" and self._masks._coming is not None:
            wait([self._masks._coming])
            under = self._sampler.masks()
        return list(self._sampler.choose(Logits.of(values, under), places, rows))


def answers(way: str, life: int, **more: Any) -> list[list[Sampled | None]]:
    """What rows under all constraints, and one without, say to the same random logits."""
    generator, turn = random.Random(life), Turn(way)
    noise = torch.Generator().manual_seed(life)
    more = {"temperature": 0.0, "max_tokens": 999} | more
    sampling = [Sampling(constraint=one, **more) for one in (*CONSTRAINTS, None)]
    said: list[list[int]] = [[] for _ in sampling]
    steps: list[list[Sampled | None]] = []
    ended: set[int] = set()
    for _ in range(40):
        running = [row for row in range(len(sampling)) if row not in ended]
        running = [row for row in running if generator.random() < 0.9] or running
        rows = [
            SampleRow(at, AttemptId(f"r{row}", 1), 0, len(said[row]), sampling[row], [3, 4, *said[row]], 2)
            for at, row in enumerate(running)
        ]
        values = torch.randn(len(rows), 410, generator=noise).round(decimals=1)  # many are equal
        outcomes = turn.step(values, rows)
        steps.append(outcomes)
        for row, outcome in zip(running, outcomes, strict=True):
            if outcome is None or outcome.ended:
                ended.add(row)
            else:
                said[row].append(outcome.token_id)
    return steps


MORE: dict[str, dict[str, Any]] = {
    "best": {},
    "end": {"stop_token_ids": (END,)},
    "stops": {"stop_token_ids": (END, 70), "min_tokens": 6},
    "drawn": {"temperature": 1.5, "seed": 7},
    "nucleus": {"temperature": 0.8, "seed": 8, "top_p": 0.7, "top_k": 90, "min_tokens": 3},
    "penalised": {"presence_penalty": 0.5, "temperature": 0.5, "seed": 9},
    "scored": {"logprobs": 2},
}


@pytest.mark.parametrize("life", range(3))
@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_every_way_leads_to_the_same_tokens(life: int, more: dict[str, Any]) -> None:
    found = [answers(way, life, **more) for way in WAYS]
    assert found[0] == found[1]
    assert found[0] == found[2]


def test_beside_rows_that_want_more() -> None:
    """Penalties, a draw and log probabilities need whole rows, whatever their neighbours do."""
    word = CONSTRAINTS[2]
    bound = Sampling(constraint=word, temperature=0.0)
    others = (
        Sampling(constraint=word, temperature=1.0, seed=5),
        Sampling(constraint=word, temperature=0.0, logprobs=2),
        Sampling(constraint=word, temperature=0.0, presence_penalty=1.0),
        Sampling(temperature=0.0),
        Sampling(temperature=0.8, seed=3),
    )
    values = torch.randn(7, 410, generator=torch.Generator().manual_seed(1))

    def row(at: int, sampling: Sampling) -> SampleRow:
        return SampleRow(at, AttemptId(f"r{at}", 1), 0, 0, sampling, [3, 4], 2)

    rows = [row(at, one) for at, one in enumerate((bound, *others, bound))]
    for way in WAYS:
        together = Turn(way).step(values, rows)
        alone = [Turn("copy").step(values[at : at + 1], [one])[0] for at, one in enumerate(rows)]
        assert together == alone


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_is_not_all_numbers_has_nothing_to_choose(way: str) -> None:
    rows = [
        SampleRow(at, AttemptId(f"r{at}", 1), 0, 0, Sampling(constraint=CONSTRAINTS[at], temperature=0.0), [3, 4], 2)
        for at in range(3)
    ]
    values = torch.randn(3, 410, generator=torch.Generator().manual_seed(1))
    values[0, 300], values[1, 200] = torch.nan, torch.inf
    first, second, third = Turn(way).step(values, rows)
    assert first is None
    assert second is None
    assert third is not None


@pytest.mark.parametrize("way", WAYS)
def test_what_was_never_allowed_fails_its_row_alone(way: str) -> None:
    sampling = Sampling(constraint=CONSTRAINTS[3], temperature=0.0)
    rows = [SampleRow(0, AttemptId("a", 1), 0, 1, sampling, [3, 4, 300], 2)]
    rows.append(SampleRow(1, AttemptId("b", 1), 0, 0, sampling, [3, 4], 2))
    bad, good = Turn(way).step(torch.zeros(2, 410), rows)
    assert bad is None
    assert good is not None


def test_choices_of_one_prompt_share_their_logits() -> None:
    """The first tokens of several choices come from one row, so none of them may find its best in the product."""
    sampling = Sampling(constraint=CONSTRAINTS[2], temperature=0.0)
    rows = [SampleRow(0, AttemptId("a", 1), choice, 0, sampling, [3, 4], 2) for choice in range(3)]
    masks = Masks(Compiler(vocabulary()))
    sampler = Sampler(masks)
    sampler.begin(rows)
    assert masks._coming is not None
    wait([masks._coming])
    assert sampler.masks() is None
    values = torch.randn(1, 410, generator=torch.Generator().manual_seed(2))
    assert len(set(sampler.choose(Logits.of(values), [0, 0, 0], rows))) == 1


def test_tokens_without_a_text_of_their_own_are_never_asked_for() -> None:
    ordinary = vocabulary().ordinary
    assert not ordinary[END]
    assert not ordinary[0]
    assert not ordinary[400:].any()
    assert np.count_nonzero(ordinary) > 100


def test_a_row_that_asks_in_vain_gets_masks_for_a_while() -> None:
    masks = Masks(Compiler(vocabulary()), asking=Asking(dear_s=-1.0, broad=0.0, num_masked=3))
    sampler = Sampler(masks)
    sampling = Sampling(constraint=Constraint.regex("[a-z ]*"), temperature=0.0)
    row = SampleRow(0, AttemptId("a", 1), 0, 0, sampling, [3, 4], 2)
    values = torch.zeros(1, 410)
    values[0, [letter(capital) for capital in "ABCDEFGH"]] = 1.0
    asked = []
    for _ in range(12):
        sampler.begin([row])
        assert masks._coming is not None
        asked.append(bool(masks._coming.result().left))
        [chosen] = sampler.choose(Logits.of(values), [0], [row])
        assert chosen is not None
    assert asked == [False, True, True, False, False, True, True, False, False, True, True, False]


def test_a_row_that_is_asked_gets_a_mask_now_and_then() -> None:
    masks = Masks(Compiler(vocabulary()), asking=Asking(dear_s=-1.0, broad=0.0, num_asked=3))
    sampler = Sampler(masks)
    sampling = Sampling(constraint=Constraint.regex("(?s:.*)"), temperature=0.0)
    asked = []
    for index in range(10):
        sampler.begin([row_of(index, sampling)])
        assert masks._coming is not None
        asked.append(bool(masks._coming.result().left))
        values = torch.zeros(1, 410)
        values[0, letter("a")] = 1.0
        assert sampler.choose(Logits.of(values), [0], [row_of(index, sampling)]) == (Sampled(letter("a")),)
    assert asked == [False, True, True, True, False, True, True, True, False, True]


def row_of(index: int, sampling: Sampling) -> SampleRow:
    return SampleRow(0, AttemptId("a", 1), 0, index, sampling, [3, 4] + [letter("a")] * index, 2)


def letter(text: str) -> int:
    [token] = vocabulary().tokens.tokenize_str(text)
    return token


def test_nothing_is_left_for_who_cannot_ask() -> None:
    """A device's sampler has no logits on the host: it needs every mask."""
    masks = Masks(Compiler(vocabulary()), asking=ALWAYS)
    sampling = Sampling(constraint=Constraint.regex("(?s:.*)"), temperature=0.0)
    for may_ask, left in ((True, 0), (True, 1), (False, 0)):
        masks.begin([row_of(0, sampling)], may_ask=may_ask)
        assert len(masks.collect().left) == left
