"""Runs the model before the first request: memory is touched, kernels are chosen, and a broken model shows itself.

Writes into blocks that nobody owns yet. Knows nothing of schedulers.
"""

from collections.abc import Callable
from dataclasses import replace

from common.engine.limits import Limits
from common.engine.plan import SampleRow, StepPlan, StepResult, Work
from common.types.errors import ModelError
from common.types.ids import AttemptId
from common.types.kv import KVLayout
from common.types.sampling import Sampling

_NUM_DECODE = 8
_SHORT = (2, 20, 40)  # one of each kind of product of few rows
_BRIEF_S = 1.0
_SAMPLINGS = (
    Sampling(temperature=0.0),
    Sampling(logprobs=1),
    Sampling(top_k=20, top_p=0.9, repetition_penalty=1.1, logit_bias=((0, 1.0),), min_tokens=2, stop_token_ids=(0,)),
)
_LARGEST = replace(_SAMPLINGS[-1], logprobs=20)  # its logits are copied, and copied again to tell how likely it was


def warm_up(
    run: Callable[[StepPlan], StepResult], limits: Limits, layout: KVLayout, num_blocks: int
) -> tuple[int, float]:
    """One chunk as long as a step allows, then short ones behind a prefix and a few decode steps: whatever a device
    compiles when it is first asked for, it compiles here. Returns the first chunk's tokens and seconds.
    """
    length = min(limits.token_budget, limits.max_model_tokens - 1, num_blocks * layout.block_tokens)
    chunk = [Work(-1, (0,) * length, 0, range(num_blocks))]
    seconds = _run(run, chunk)
    if seconds < _BRIEF_S:  # the first pass also finds its memory; the second shows the speed
        seconds = min(seconds, _run(run, chunk))
    for size in _SHORT:
        if size < length:
            _run(run, [Work(-1, (0,) * size, 1, range(num_blocks))])
    num_decode = min(_NUM_DECODE, limits.max_sequences, num_blocks)
    for _ in range(2):
        _run(run, [Work(-2 - block, (0,), 0, (block,)) for block in range(num_decode)])
    return length, seconds


def largest_steps(limits: Limits, layout: KVLayout, num_blocks: int) -> tuple[StepPlan, ...]:
    """One chunk that fills a step, all sequences at once, and a chunk beside them: nothing takes more memory."""
    length = min(limits.token_budget, limits.max_model_tokens - 1, num_blocks * layout.block_tokens)
    rest = min(length, limits.token_budget - limits.max_sequences + 1)
    decode = [Work(-2 - place, (0,), 0, (place % num_blocks,)) for place in range(limits.max_sequences)]
    chunks = [Work(-1, (0,) * size, 0, range(num_blocks)) for size in (length, rest)]
    return _plan(chunks[:1]), _plan(decode), _plan([*decode[1:], chunks[1]] if rest > 1 else decode)


def _plan(works: list[Work]) -> StepPlan:
    # one row that asks for nothing: were they all alike, the others' logits would not have to be picked out
    kinds = [_SAMPLINGS[0], *[_LARGEST] * (len(works) - 1)] if len(works) > 1 else [_LARGEST]
    rows = [SampleRow(place, AttemptId("warm-up", 0), 0, 1, kind, (0, 0), 1) for place, kind in enumerate(kinds)]
    return StepPlan(tuple(works), tuple(rows), sum(len(work.token_ids) == 1 for work in works))


def _run(run: Callable[[StepPlan], StepResult], works: list[Work]) -> float:
    rows = tuple(
        SampleRow(work, AttemptId("warm-up", 0), choice, 1, sampling, (0, 0), 1)
        for work in range(len(works))
        for choice, sampling in enumerate(_SAMPLINGS)
    )
    num_decode = sum(len(work.token_ids) == 1 for work in works)
    result = run(StepPlan(tuple(works), rows, num_decode))
    if any(sampled is None for sampled in result.sampled):
        raise ModelError(
            "the model's answers are not numbers",
            "Try --dtype bfloat16 or float32; if that does not help, the weights are damaged",
        )
    return result.seconds
