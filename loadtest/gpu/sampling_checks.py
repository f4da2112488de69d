"""Checks of what chooses tokens: the draws of the reference, one by one; penalties; log probabilities."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from common.kernels import adjust_logits, choose_tokens, logprobs
from common.kernels.reference import adjust_logits as reference_adjust
from common.kernels.reference import choose_tokens as reference_choose
from common.kernels.reference import device_logprobs as reference_logprobs
from common.kernels.reference.adjust_logits import SeenTokens
from common.kernels.reference.choose_tokens import DeviceDraws
from common.kernels.reference.gumbel import draw_keys
from loadtest.gpu.checks import Check, distance, random, same

# temperature, top_k, top_p, min_p
FILTERS = (
    (1.0, 0, 1.0, 0.0),
    (0.0, 0, 1.0, 0.0),
    (0.7, 50, 0.9, 0.0),
    (1.0, 0, 0.95, 0.0),
    (1.3, 1000, 1.0, 0.0),
    (1.0, 0, 1.0, 0.05),
    (2.0, 3000, 0.99, 0.001),
)
ROWS = 70
# Noise is the same but for its last bits: two entries as close as that may change places, once in very many draws.
_MAY_DIFFER = 1.0


def sampling_checks(device: torch.device) -> Iterator[Check]:
    for entries, heat in ((70, 1.0), (32768, 4.0), (128256, 3.0), (151936, 0.2)):
        yield Check("choose_tokens", _choose(entries, heat, device))
    for count in (1, 5000):
        yield Check("adjust_logits", _adjust(count, device))
    for entries in (70, 128256):
        yield Check("logprobs", _logprobs(entries, device))


def _choose(entries: int, heat: float, device: torch.device) -> Callable[[], tuple[float, float]]:
    def error() -> tuple[float, float]:
        logits = random(ROWS // 2, entries, device=device, seed=entries) * heat
        sources = torch.arange(ROWS, device=device) // 2
        seeds = np.arange(ROWS, dtype=np.uint64)
        filters = [FILTERS[row % len(FILTERS)] for row in range(ROWS)]

        def column(place: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.tensor([one[place] for one in filters], dtype=dtype, device=device)

        keys = torch.from_numpy(draw_keys(seeds, seeds, seeds).view(np.int32).copy()).to(device)
        draws = DeviceDraws(column(0), column(1, torch.int32), column(2), column(3), keys)
        truth = reference_choose.choose_tokens(logits, sources, draws)
        again = [choose_tokens.choose_tokens(logits, sources, draws) for _ in range(2)]
        moved = same(again[0], again[1])
        return same(again[0], truth) + 1000 * moved, _MAY_DIFFER

    return error


def _adjust(count: int, device: torch.device) -> Callable[[], tuple[float, float]]:
    def error() -> tuple[float, float]:
        truth = random(9, 32768, device=device) * 5
        own = truth.clone()
        places = torch.randperm(9 * 32768, device=device)[:count]
        rows, ids = places // 32768, places % 32768
        numbers = random(4, count, device=device, seed=1).abs()
        seen = SeenTokens(rows, ids, (numbers[0] * 2).floor(), 0.5 + numbers[1], numbers[2], numbers[3])
        for logits, module in ((truth, reference_adjust), (own, adjust_logits)):
            module.add_bias(logits, rows, ids, numbers[3])
            module.penalise(logits, seen)
        wrong = distance(own, truth)
        adjust_logits.exclude(own, rows, ids)
        reference_adjust.exclude(truth, rows, ids)
        return wrong + same(own.isneginf(), truth.isneginf()), 1e-6

    return error


def _logprobs(entries: int, device: torch.device) -> Callable[[], tuple[float, float]]:
    def error() -> tuple[float, float]:
        logits = random(5, entries, device=device) * 4
        tokens = torch.randint(0, entries, (5,), device=device)
        out, truth = logprobs.logprobs(logits, tokens, 20), reference_logprobs.logprobs(logits, tokens, 20)
        off = max(distance(out.chosen, truth.chosen), distance(out.top, truth.top))
        return off + same(out.top_ids, truth.top_ids), 1e-5

    return error
