"""Killed or frozen at any moment, a worker costs no stream a single token. Real processes, real models."""

import itertools
import signal
from collections.abc import Sequence

import pytest

from baton.client.prompts import Asking
from common.types.sampling import FinishReason
from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd, Stream, Wish
from tests.faults.moments import MOMENTS, Moment, first_started
from tests.faults.references import NUM_TOKENS, Reference, reference_sets
from tests.faults.watch import Watch
from tests.system.processes import Process, Processes

NUM_STREAMS = 20
KILL, FREEZE = signal.SIGKILL, signal.SIGSTOP
turn = itertools.cycle(range(3))


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    return start_fleet(quick_layout())


def wishes_of(references: Sequence[Reference]) -> list[Wish]:
    lengths = itertools.cycle((NUM_TOKENS, 90, 61))
    return [Wish(each.prompt, greedy(length)) for each, length in zip(references, lengths, strict=False)]


def greedy(num_tokens: int) -> Asking:
    return Asking(max_tokens=num_tokens, temperature=0.0, ignore_eos=True)


@pytest.mark.parametrize("number", [KILL, FREEZE], ids=("kill", "freeze"))
@pytest.mark.parametrize("role", ["prefill", "decode"])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name)
async def test_every_stream_is_exact(fleet: Processes, role: str, moment: Moment, number: signal.Signals) -> None:
    references = reference_sets(NUM_STREAMS)[next(turn)]
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), wishes_of(references)) as crowd:
            victim = await strike(fleet, crowd, watch, role, moment, number)
            if number is KILL:
                fleet.start(victim)
            await crowd.finish()
            if number is FREEZE:
                fleet.running[victim].signal(signal.SIGCONT)
            for stream, reference in zip(crowd.streams, references, strict=True):
                check_exact(stream, reference)
            check_felt(role, moment, crowd)
        await watch.joined()
        await watch.whole()


async def strike(
    fleet: Processes, crowd: Crowd, watch: Watch, role: str, moment: Moment, number: signal.Signals
) -> str:
    """At the moment, signals the worker of the pool that has the most to do then; returns its name."""
    bystanders = [fleet.running[name] for name in fleet.workers if moment.in_handoff and not name.startswith(role)]
    if moment.in_handoff and role == "prefill":
        await first_started(crowd, watch)
        signal_all(bystanders, signal.SIGSTOP)  # whatever is sealed from here on stays lent
    await moment.reached(crowd, watch)
    signal_all(bystanders, signal.SIGSTOP)
    victim = await watch.busiest(role)
    fleet.running[victim].signal(number)
    signal_all(bystanders, signal.SIGCONT)
    return victim


def signal_all(processes: Sequence[Process], number: signal.Signals) -> None:
    for process in processes:
        process.signal(number)


def check_exact(stream: Stream, reference: Reference) -> None:
    assert stream.error is None
    num_tokens = stream.wish.asking["max_tokens"]
    assert stream.token_ids == {0: list(reference.tokens[:num_tokens])}
    assert stream.texts == {0: reference.text(num_tokens)}
    assert stream.finishes == {0: FinishReason.LENGTH}


def check_felt(role: str, moment: Moment, crowd: Crowd) -> None:
    """The worker was struck while it mattered: a decode worker in its prime takes its streams' attempts with it."""
    num_attempts = [stream.done.num_attempts for stream in crowd.streams if stream.done is not None]
    if role == "decode" and moment.name == "sixteen-tokens":
        assert max(num_attempts) > 1
