"""Checks of the sampler as a step runs it: rows of every kind together, against the host's on the same logits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from common.engine.device_sampler import DeviceSampler
from common.engine.plan import Sampled, SampleRow
from common.engine.sampler import Sampler
from common.engine.stage import CudaStage, Stage
from common.kernels.logits import Logits
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from loadtest.gpu.checks import Check, random

# ids of biases and stop tokens are ranks here, 0 that of the best token
KINDS = (
    Sampling(temperature=0.0),
    Sampling(temperature=0.0, logprobs=20, frequency_penalty=0.7),
    Sampling(temperature=0.0, logit_bias=((0, -100.0), (9, 1.0), (3, 0.5)), logprobs=0),
    Sampling(seed=1),
    Sampling(seed=2, temperature=0.7, top_k=20, logprobs=5),
    Sampling(seed=4, min_p=0.05, presence_penalty=1.0, frequency_penalty=-0.5),
    Sampling(seed=5, top_p=0.9, repetition_penalty=1.3, logit_bias=((4, 3.0),), logprobs=2),
    Sampling(temperature=0.0, min_tokens=900, stop_token_ids=tuple(range(20))),
)
MOST_ROWS = 40
_NUM_BEST = 50
LOGPROBS = 1e-4
Int64s = npt.NDArray[np.int64]
# Noise is the same but for its last bits: two entries as close as that may change places, once in very many draws.
_MAY_DIFFER = 1


def make_stage(device: torch.device) -> Stage:
    return CudaStage(device)


def sampler_checks(device: torch.device) -> Iterator[Check]:
    for entries, num_rows, history in ((300, 3, 5), (32768, 8, 700), (128256, MOST_ROWS, 64)):
        for ahead in (False, True):
            yield Check("device sampler", _against_host(entries, num_rows, history, ahead, device))


def _against_host(
    entries: int, num_rows: int, history: int, ahead: bool, device: torch.device
) -> Callable[[], tuple[float, float]]:
    def error() -> tuple[float, float]:
        logits = random(num_rows, entries, device=device, seed=entries) * 4
        best = logits.topk(_NUM_BEST, dim=1).indices.cpu().numpy()
        # histories of likely tokens: otherwise no penalty changes who is chosen
        ranks = np.random.default_rng(entries).integers(0, _NUM_BEST, (num_rows, history + 1))
        drawn = np.take_along_axis(best, ranks, axis=1)
        rows = [_row(place, best[place], tokens[:-1]) for place, tokens in enumerate(drawn)]
        last = torch.from_numpy(drawn[:, -1].copy()).to(device) if ahead else None
        found = DeviceSampler(make_stage(device)).choose(logits, rows, last=last).read()
        asked = [_row(place, best[place], tokens) for place, tokens in enumerate(drawn)] if ahead else rows
        expected = Sampler().choose(Logits.of(logits.cpu()), range(num_rows), asked)
        pairs = list(zip(found, expected, strict=True))
        if any((one is None) != (other is None) for one, other in pairs):
            return float("inf"), 1.0
        other_tokens = sum(one is not None and other is not None and one[0] != other[0] for one, other in pairs)
        return max(other_tokens / _MAY_DIFFER, _furthest(pairs) / LOGPROBS), 1.0

    return error


def _row(place: int, best: Int64s, tokens: Int64s) -> SampleRow:
    """Half of the tokens are the answer's."""
    kind, num_prompt = KINDS[place % len(KINDS)], len(tokens) // 2
    sampling = replace(
        kind,
        logit_bias=tuple((int(best[rank]), bias) for rank, bias in kind.logit_bias),
        stop_token_ids=tuple(best[list(kind.stop_token_ids)].tolist()),
    )
    id = AttemptId(f"checked-{place}", 1)
    return SampleRow(place, id, 0, len(tokens) - num_prompt, sampling, tokens.tolist(), num_prompt)


def _furthest(pairs: Sequence[tuple[Sampled | None, Sampled | None]]) -> float:
    """The largest difference between log probabilities of what both chose; infinite where alternatives differ."""
    most = 0.0
    for one, other in pairs:
        if one is None or other is None or one.token_id != other.token_id:
            continue
        own, true = one.logprobs, other.logprobs
        if own is None or true is None:
            most = most if own is true else float("inf")
            continue
        if [id for id, _ in own.top] != [id for id, _ in true.top]:
            return float("inf")
        numbers = [(own.logprob, true.logprob), *zip((v for _, v in own.top), (v for _, v in true.top), strict=True)]
        most = max(most, *(abs(a - b) for a, b in numbers))
    return most
