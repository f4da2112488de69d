"""Sampled answers across the loss of a decode worker: the same as if nothing had happened, down to the last character.

Seeds, penalties and filters go on from where they were; stop strings across the gap are found; several answers to one
prompt each keep their own.
"""

import signal
from functools import partial

import pytest

from baton.client.prompts import Asking
from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd, Wish
from tests.faults.references import reference_sets
from tests.faults.watch import Watch
from tests.system.processes import Processes

ASKING = (
    Asking(seed=1, temperature=1.0),
    Asking(seed=2, temperature=0.7, top_p=0.9),
    Asking(seed=3, temperature=1.3, top_k=20),
    Asking(seed=4, temperature=1.0, min_p=0.02),
    Asking(seed=5, temperature=1.0, repetition_penalty=1.3),
    Asking(seed=6, temperature=1.0, presence_penalty=1.0, frequency_penalty=0.5),
    Asking(seed=7, temperature=1.0, n=3),
    Asking(seed=8, temperature=1.0, n=2, frequency_penalty=0.8),
    Asking(seed=9, temperature=1.0, stop=["er", "on the"], min_tokens=30),
    Asking(seed=10, temperature=1.0, n=4, stop=["e"], min_tokens=20),
    Asking(seed=11, temperature=1.0, logit_bias={20: 4.0, 21: 4.0, 22: -100.0}),
    Asking(seed=12, temperature=1.0, logprobs=2),
)
COMMON = Asking(max_tokens=80, ignore_eos=True)
STRIKES = (4, 40, 100, 180)
"""After so many tokens of the stream that is furthest, all its answers counted."""


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    return start_fleet(quick_layout())


async def test_a_lost_decode_worker_changes_no_sampled_answer(fleet: Processes) -> None:
    prompts = [reference.prompt for reference in reference_sets()[0]]
    wishes = [Wish(prompt, {**COMMON, **asking}) for prompt, asking in zip(prompts, ASKING, strict=False)]
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), wishes) as calm:
            await calm.finish()
        assert [stream.error for stream in calm.streams] == [None] * len(wishes)
        num_attempts = []
        for strike in STRIKES:
            await watch.joined()
            async with Crowd(fleet.grpc(), wishes) as crowd:
                await crowd.until(partial(is_far, crowd, strike))
                victim = await watch.busiest("decode")
                fleet.running[victim].signal(signal.SIGKILL)
                fleet.start(victim)
                await crowd.finish()
            assert [stream.outcome for stream in crowd.streams] == [stream.outcome for stream in calm.streams]
            num_attempts += [stream.done.num_attempts for stream in crowd.streams if stream.done]
        assert max(num_attempts) > 1
        await watch.joined()
        await watch.whole()


def is_far(crowd: Crowd, num_tokens: int) -> bool:
    return max(stream.num_tokens for stream in crowd.streams) >= num_tokens
