"""A router that is killed or frozen takes its own streams with it, and nothing of another router's."""

import asyncio
import signal

import pytest

from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd
from tests.faults.references import check_exact, check_exact_or_failed, greedy_wishes, next_references
from tests.faults.watch import Watch
from tests.system.processes import Processes

PROMISED_S = 10.0
"""At once, as machines go; its deadline would let a stream wait for four times as long."""


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    """Two routers share the workers; the second one is also how the first one's traces are watched."""
    return start_fleet(quick_layout(routers=2))


async def test_a_killed_router_ends_its_streams_and_frees_everything(fleet: Processes) -> None:
    fleet.mend()
    lost, kept = next_references(), next_references()
    async with Watch(fleet, "router-1") as watch:
        await watch.joined()
        async with (
            Crowd(fleet.grpc("router-0"), greedy_wishes(lost)) as ending,
            Crowd(fleet.grpc("router-1"), greedy_wishes(kept)) as staying,
        ):
            await ending.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in ending.streams) > len(lost))
            fleet.running["router-0"].signal(signal.SIGKILL)
            async with asyncio.timeout(PROMISED_S):
                await ending.finish()
            assert any(stream.error for stream in ending.streams)
            check_exact_or_failed(ending.streams, lost)
            await staying.finish()
            check_exact(staying.streams, kept)
        await watch.whole()
    await check_back(fleet)


async def test_a_frozen_router_is_let_go_and_finds_its_way_back(fleet: Processes) -> None:
    fleet.mend()
    lost, kept = next_references(), next_references()
    async with Watch(fleet, "router-1") as watch:
        await watch.joined()
        async with (
            Crowd(fleet.grpc("router-0"), greedy_wishes(lost)) as ending,
            Crowd(fleet.grpc("router-1"), greedy_wishes(kept)) as staying,
        ):
            await ending.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in ending.streams) > len(lost))
            fleet.running["router-0"].signal(signal.SIGSTOP)
            await staying.finish()
            check_exact(staying.streams, kept)
            await watch.whole()  # the frozen router's work was cancelled, though nobody said a word
            fleet.running["router-0"].signal(signal.SIGCONT)
            await ending.finish()
            check_exact_or_failed(ending.streams, lost)
        await watch.whole()
    await check_back(fleet)


async def check_back(fleet: Processes) -> None:
    """The router, started again or woken up, has all workers and serves."""
    fleet.mend()
    references = next_references(4)
    async with Watch(fleet, "router-0") as watch:
        await watch.joined()
        async with Crowd(fleet.grpc("router-0"), greedy_wishes(references)) as crowd:
            await crowd.finish()
            check_exact(crowd.streams, references)
        await watch.whole()
