"""Whole answers of an engine on a device beside those of one on a CPU: every kind of request, all at once."""

from dataclasses import replace
from queue import Queue

import pytest

from common.engine.boot import Engine
from common.engine.messages import Event, StepTokens, SubmitLocal
from common.types.constraint import Constraint
from common.types.ids import AttemptId
from common.types.sampling import SampledToken, Sampling
from tests.engine.attempts import attempt
from tests.engine.test_boot import WAIT_S, Watch, configure
from tests.engine.test_device_boot import Start, on_device
from tests.models.loop import random_prompts

GREEDY = Sampling(temperature=0.0, max_tokens=14)
KINDS = {
    "best": GREEDY,
    "drawn": Sampling(seed=3, temperature=0.8, top_k=40, top_p=0.95, max_tokens=20),
    "told": replace(GREEDY, logprobs=4),
    "drawn and told": Sampling(seed=9, min_p=0.01, logprobs=20, max_tokens=11),
    "penalised": replace(GREEDY, repetition_penalty=1.2, frequency_penalty=0.4, logprobs=1),
    "biased": Sampling(seed=1, logit_bias=((17, 9.0), (18, -100.0)), presence_penalty=0.5, max_tokens=16),
    "not too short": replace(GREEDY, min_tokens=9, stop_token_ids=tuple(range(2, 400)), logprobs=0),
    "bound": Sampling(seed=5, constraint=Constraint.regex("[a-h]{3,9}x"), stop_token_ids=(1,), max_tokens=16),
    "bound and told": replace(GREEDY, constraint=Constraint.json_object(), stop_token_ids=(1,), logprobs=2),
}


def answers(engine: Engine, events: Queue[Event], *kinds: str) -> dict[str, list[SampledToken]]:
    """Of one attempt of each kind, all under way together."""
    prompts = random_prompts(engine.model.vocab_size, [11 + 3 * place for place in range(len(KINDS))])
    asked = dict(zip(KINDS, prompts, strict=True))
    for kind in kinds:
        engine.gate.post(SubmitLocal(attempt(kind, asked[kind], sampling=KINDS[kind])))
    found: dict[AttemptId, list[SampledToken]] = {AttemptId(kind, 1): [] for kind in kinds}
    ended = 0
    while ended < len(kinds):
        event = events.get(timeout=WAIT_S)
        if isinstance(event, StepTokens):
            for id, token in event.rows:
                found[id].append(token)
                ended += token.finish is not None
    return {id.request_id: tokens for id, tokens in found.items()}


def compare(found: list[SampledToken], expected: list[SampledToken]) -> None:
    assert [(one.token_id, one.finish) for one in found] == [(one.token_id, one.finish) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.logprobs is None) == (other.logprobs is None)
        if one.logprobs is not None and other.logprobs is not None:
            assert one.logprobs.logprob == pytest.approx(other.logprobs.logprob, abs=1e-4)
            assert [id for id, _ in one.logprobs.top] == [id for id, _ in other.logprobs.top]


def test_every_kind_of_request_is_answered_as_on_a_cpu() -> None:
    watch, start = Watch(), Start()
    host = watch.boot(replace(configure(), max_sequences=9, token_budget=128))
    expected = answers(host, watch.events, *KINDS)
    host.close()
    device = start.boot(replace(on_device(), max_sequences=9))
    found = answers(device, start.events, *KINDS)
    free = [kind for kind, sampling in KINDS.items() if sampling.constraint is None]
    again = answers(device, start.events, *free)
    assert start.ground.stages[-1].num_replays > 20
    device.close()
    assert start.crashes.empty()
    for kind in KINDS:
        compare(found[kind], expected[kind])
    for kind in free:
        compare(again[kind], expected[kind])
