"""With the time-outs an operator gets, and KV over TCP: frozen workers of either kind cost no stream a token."""

import signal

import pytest

from tests.faults.conftest import StartFleet
from tests.faults.crowd import Crowd
from tests.faults.references import check_exact, greedy_wishes, model_folder, next_references
from tests.faults.watch import Watch
from tests.system.processes import Layout, Processes


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    workers = ("--transports=tcp", "--num-blocks=400", "--token-budget=64", "--max-sequences=32")
    return start_fleet(Layout(model_folder(), 2, 2, router_flags=("--mode=handoff",), worker_flags=workers))


@pytest.mark.parametrize("role", ["prefill", "decode"])
async def test_a_frozen_worker_is_found_and_fenced(fleet: Processes, role: str) -> None:
    fleet.mend()
    references = next_references()
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await crowd.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in crowd.streams) >= len(references))
            victim = await watch.busiest(role)
            fleet.running[victim].signal(signal.SIGSTOP)
            await crowd.finish()
            check_exact(crowd.streams, references)
        fleet.mend()
        await watch.joined()
        await watch.whole()
