"""Killed or frozen at any moment, a worker costs no stream a single token. Real processes, real models."""

import signal
from collections.abc import Sequence

import pytest

from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd
from tests.faults.moments import MOMENTS, Moment, first_started
from tests.faults.references import check_exact, greedy_wishes, next_references
from tests.faults.watch import Watch
from tests.system.process import Process
from tests.system.processes import Processes

NUM_DEATHS = 4
KILL, FREEZE = signal.SIGKILL, signal.SIGSTOP


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    return start_fleet(quick_layout())


@pytest.mark.parametrize("number", [KILL, FREEZE], ids=("kill", "freeze"))
@pytest.mark.parametrize("role", ["prefill", "decode"])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name)
async def test_every_stream_is_exact(fleet: Processes, role: str, moment: Moment, number: signal.Signals) -> None:
    references = next_references()
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            victim = await strike(fleet, crowd, watch, role, moment, number)
            if number is KILL:
                fleet.start(victim)
            await crowd.finish()
            if number is FREEZE:
                fleet.running[victim].signal(signal.SIGCONT)
            check_exact(crowd.streams, references)
            check_felt(role, moment, crowd)
        await watch.joined()
        await watch.whole()


@pytest.mark.parametrize("role", ["prefill", "decode"])
async def test_one_that_wakes_up_serves_again(fleet: Processes, role: str) -> None:
    """Found dead, its work done by others, it comes back as the same process and is all there is of its pool."""
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        (sleeper, *others) = [name for name in fleet.workers if name.startswith(role)]
        before = (await watch.members())[sleeper].hello
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await crowd.until(lambda: crowd.num_tokens > len(crowd.streams))
            fleet.running[sleeper].signal(FREEZE)
            await watch.until(lambda members: sleeper not in {member.hello.member for member in members})
            fleet.running[sleeper].signal(signal.SIGCONT)
            await crowd.finish()
            check_exact(crowd.streams, references)
        await watch.joined()
        assert (await watch.members())[sleeper].hello == before
        for name in others:
            fleet.running[name].signal(KILL)
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await crowd.finish()
            check_exact(crowd.streams, references)
        fleet.mend()
        await watch.joined()
        await watch.whole()


async def test_no_process_keeps_anything_of_the_dead(fleet: Processes) -> None:
    """Decode workers map the pools of prefill workers and are connected to them, as long as those live."""
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await crowd.finish()
        assert any(len(holders) > 1 for holders in fleet.pools().values())
        before = fleet.num_descriptors("decode-0")
        for _ in range(NUM_DEATHS):
            fleet.running["prefill-0"].signal(KILL)
            fleet.start("prefill-0")
            await watch.joined()
            await watch.whole()
        await watch.until(lambda _: len(fleet.pools()) == len(fleet.workers))
        await watch.until(lambda _: fleet.num_descriptors("decode-0") < before + NUM_DEATHS)


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


def check_felt(role: str, moment: Moment, crowd: Crowd) -> None:
    """The worker was struck while it mattered: a decode worker in its prime takes its streams' attempts with it."""
    num_attempts = [stream.done.num_attempts for stream in crowd.streams if stream.done is not None]
    if role == "decode" and moment.name == "sixteen-tokens":
        assert max(num_attempts) > 1
