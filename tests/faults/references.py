"""Prompts and what transformers says follows them: the exact text that every stream has to end with, and the check.

Several sets, taken in turn, and a pool too small for all: a case does not find its prompts computed by the one before.
"""

import functools
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baton.client.prompts import Asking
from common.types.sampling import FinishReason
from tests.faults.crowd import Stream, Wish
from tests.tiny import reference_model, reference_tokenizer, tiny_model

NAME = "llama"
NUM_SETS = 3
NUM_STREAMS = 20
LENGTHS = (40, 104, 167, 230)
NUM_TOKENS = 120
MIN_GAP = 2e-3
"""Between the two best logits: whatever is computed again in another order must not meet a near-tie."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt and its greedy continuation."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]

    def text(self, num_tokens: int) -> str:
        """The first tokens as text, as it goes on from the prompt."""
        tokenizer = _tokenizer()
        before = tokenizer.decode(list(self.prompt), skip_special_tokens=True)
        whole = tokenizer.decode([*self.prompt, *self.tokens[:num_tokens]], skip_special_tokens=True)
        return str(whole[len(before) :])


_turns = itertools.cycle(range(NUM_SETS))


def next_references(num_streams: int = NUM_STREAMS) -> tuple[Reference, ...]:
    """The next set; of each length alike when there are to be fewer."""
    return reference_sets()[next(_turns)][:: NUM_STREAMS // num_streams][:num_streams]


def greedy_wishes(references: Sequence[Reference]) -> list[Wish]:
    """Answers of different lengths."""
    lengths = itertools.cycle((NUM_TOKENS, 90, 61))
    return [Wish(each.prompt, greedy(length)) for each, length in zip(references, lengths, strict=False)]


def greedy(max_tokens: int) -> Asking:
    return Asking(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)


def check_exact(streams: Sequence[Stream], references: Sequence[Reference]) -> None:
    """Every stream has ended with the whole reference, nothing lost and nothing twice."""
    for stream, reference in zip(streams, references, strict=True):
        assert stream.error is None
        assert stream.done is not None
        num_tokens = stream.wish.asking["max_tokens"]
        assert stream.token_ids == {0: list(reference.tokens[:num_tokens])}
        assert stream.texts == {0: reference.text(num_tokens)}
        assert stream.finishes == {0: FinishReason.LENGTH}


def check_exact_or_failed(streams: Sequence[Stream], references: Sequence[Reference]) -> None:
    """The same, or a typed error after a part of the reference."""
    for stream, reference in zip(streams, references, strict=True):
        if stream.error is None:
            check_exact([stream], [reference])
        else:
            token_ids = stream.token_ids.get(0, [])
            assert token_ids == list(reference.tokens[: len(token_ids)])


@functools.cache
def model_folder() -> Path:
    return tiny_model(NAME)


@functools.cache
def reference_sets(num_streams: int = NUM_STREAMS) -> tuple[tuple[Reference, ...], ...]:
    """Kept beside the model, whose folder's name changes with what makes it."""
    per_length = -(-num_streams // len(LENGTHS))
    path = model_folder().parent / f"references-{NAME}-{NUM_SETS}-{per_length}-{NUM_TOKENS}-{MIN_GAP}.json"
    if not path.exists():
        found = [[(each.prompt, each.tokens) for each in _make_set(number, per_length)] for number in range(NUM_SETS)]
        scratch = path.with_suffix(f".{random.getrandbits(64):x}")
        scratch.write_text(json.dumps(found))
        scratch.rename(path)
    stored = json.loads(path.read_text())
    return tuple(tuple(Reference(tuple(prompt), tuple(tokens)) for prompt, tokens in each) for each in stored)


def _make_set(number: int, per_length: int) -> Iterator[Reference]:
    for length in LENGTHS:
        draw = random.Random(f"{number} {length}")
        found: list[Reference] = []
        while len(found) < per_length:
            found += _clear_ones([_prompt(draw, length) for _ in range(per_length + 2)])
        yield from found[:per_length]


def _prompt(draw: random.Random, length: int) -> tuple[int, ...]:
    """Printable characters at the end, so that the answer's text does not begin within one."""
    letters = _tokenizer().encode(" the runner", add_special_tokens=False)
    return (*(draw.randrange(6, 500) for _ in range(length - len(letters))), *letters)


def _clear_ones(prompts: list[tuple[int, ...]]) -> list[Reference]:
    """All prompts of one length at once; those whose greedy path passes no near-tie."""
    import torch

    model, step, cache = reference_model(model_folder()), torch.tensor(prompts), None
    columns, gaps = [], []
    with torch.inference_mode():
        for _ in range(NUM_TOKENS):
            output = model(step, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            best = output.logits[:, -1].topk(2)
            step = best.indices[:, :1]
            columns.append(step[:, 0].tolist())
            gaps.append((best.values[:, 0] - best.values[:, 1]).tolist())
    rows = zip(prompts, zip(*columns, strict=True), zip(*gaps, strict=True), strict=True)
    return [Reference(prompt, tuple(tokens)) for prompt, tokens, gap in rows if min(gap) > MIN_GAP]


@functools.cache
def _tokenizer() -> Any:
    return reference_tokenizer(model_folder())
