"""A whole decode or prefill step against transformers in the same run, one thread, in turns.

Times are the thread's own CPU time, which other processes disturb less; ratios are of neighbours.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from common.models.decoder import Decoder
from loadtest.micro._engine import BATCHES, CONTEXT, MODELS, PROMPTS, Clock, Engine
from loadtest.micro._rows import Measured
from loadtest.shapes import random_model

NUM_STEPS = 12
NUM_PROMPTS = 3


class Peer:
    """transformers on the same folder, in the same dtype."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._clock = clock

    @torch.inference_mode()
    def prompt(self, batch: int, num_tokens: int) -> float:
        ids = torch.randint(2, 4000, (batch, num_tokens))
        began = self._clock()
        out = self._model(ids, use_cache=True, logits_to_keep=1)
        self._next = out.logits[:, -1].argmax(-1, keepdim=True)
        self._cache = out.past_key_values
        return self._clock() - began

    @torch.inference_mode()
    def step(self) -> float:
        began = self._clock()
        out = self._model(self._next, past_key_values=self._cache, use_cache=True)
        self._next = out.logits[:, -1].argmax(-1, keepdim=True)
        self._cache = out.past_key_values
        return self._clock() - began


def run(shape: str = "135m") -> list[Measured]:
    """Prints a line per batch size and per prompt length."""
    torch.set_num_threads(1)
    folder = random_model(shape, MODELS)
    engine, peer = Engine(Decoder.load(folder, "bfloat16"), time.thread_time), Peer(folder, time.thread_time)
    print(f"{shape} in bfloat16, one thread, CPU time, medians\n  step                 baton    transformers   ratio")
    rows = []
    for batch in BATCHES:
        engine.decode(batch)
        peer.prompt(batch, CONTEXT)
        rows.append(_compare(f"decode B={batch}", NUM_STEPS, lambda: engine.step()[1], peer.step))
    for num_tokens in PROMPTS:

        def own(num_tokens: int = num_tokens) -> float:
            engine.begin(1, num_tokens, num_tokens + 1)
            return engine.step()[1]

        def theirs(num_tokens: int = num_tokens) -> float:
            return peer.prompt(1, num_tokens)

        rows.append(_compare(f"prefill {num_tokens}", NUM_PROMPTS, own, theirs))
    return rows


def _compare(name: str, num_rounds: int, own: Callable[[], float], theirs: Callable[[], float]) -> Measured:
    pairs = [(own(), theirs()) for _ in range(num_rounds)]
    ratios = tuple(peer / ours for ours, peer in pairs)
    middles = [1e3 * statistics.median(side) for side in zip(*pairs, strict=True)]
    print(f"  {name:<14}{middles[0]:10.2f} ms {middles[1]:11.2f} ms {statistics.median(ratios):8.2f}", flush=True)
    return Measured("", f"transformers' time / ours, {name}, one thread", ratios)
