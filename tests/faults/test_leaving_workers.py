"""Workers that leave in good order, under load: drained, asked to end, started again. No stream fails."""

import signal

import pytest

from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd
from tests.faults.moments import MOMENTS
from tests.faults.references import check_exact, greedy_wishes, next_references
from tests.faults.watch import Watch
from tests.system.processes import Processes

BUSY = next(moment for moment in MOMENTS if moment.name == "half-have-a-token")


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    return start_fleet(quick_layout())


@pytest.mark.parametrize("name", ["prefill-0", "decode-0"])
async def test_a_drained_worker_ends_what_it_has_and_takes_nothing_new(fleet: Processes, name: str) -> None:
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await BUSY.reached(crowd, watch)
            await watch.fleet.drain(name)
            await crowd.finish()
            check_exact(crowd.streams, references)
        await watch.until(lambda members: any(m.hello.member == name and m.load.drained for m in members))
        await watch.whole()
        before = (await watch.members())[name].num_hashes
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await crowd.finish()
            check_exact(crowd.streams, references)
        await watch.whole()
        assert (await watch.members())[name].num_hashes == before
        await watch.fleet.resume(name)
        await watch.until(lambda members: not any(m.draining for m in members))


@pytest.mark.parametrize("name", ["prefill-1", "decode-1"])
async def test_a_worker_told_to_leave_ends_by_itself(fleet: Processes, name: str) -> None:
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await BUSY.reached(crowd, watch)
            await watch.fleet.drain(name, leave=True)
            assert await fleet.running[name].ended() == 0
            await crowd.finish()
            check_exact(crowd.streams, references)
        fleet.mend()
        await watch.joined()
        check_left_nothing_open(fleet, name)
        await watch.whole()


@pytest.mark.parametrize("name", ["prefill-0", "decode-0"])
async def test_a_worker_asked_to_end_comes_back_as_another(fleet: Processes, name: str) -> None:
    """The new process has the old one's name and another epoch, and is given work while the rest goes on."""
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        before = (await watch.members())[name].hello.epoch
        references = next_references()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await BUSY.reached(crowd, watch)
            fleet.running[name].signal(signal.SIGTERM)
            assert await fleet.running[name].ended() == 0
            fleet.mend()
            await crowd.finish()
            check_exact(crowd.streams, references)
        await watch.joined()
        check_left_nothing_open(fleet, name)
        assert (await watch.members())[name].hello.epoch != before
        await watch.whole()


def check_left_nothing_open(fleet: Processes, name: str) -> None:
    """To the router, it held no attempt any more when it was gone."""
    farewells = [line for line in fleet.running["router-0"].lines() if f"left member={name} " in line]
    assert farewells[-1].endswith(" attempts=0")
