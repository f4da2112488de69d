"""The only worker of a pool, both at once, all frozen: requests wait for who comes back, within their time."""

import signal
from collections.abc import Sequence

import pytest

from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd
from tests.faults.references import check_exact, check_exact_or_failed, greedy_wishes, next_references
from tests.faults.watch import Watch
from tests.system.processes import Processes

BOTH = ("prefill-0", "decode-0")


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    return start_fleet(quick_layout(1, 1))


@pytest.mark.parametrize("names", [BOTH[:1], BOTH[1:], BOTH], ids="+".join)
async def test_requests_wait_for_a_worker_that_is_started_again(fleet: Processes, names: Sequence[str]) -> None:
    fleet.mend()
    references = next_references()
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
            await crowd.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in crowd.streams) >= len(references))
            for name in names:
                fleet.running[name].signal(signal.SIGKILL)
            for name in names:
                fleet.start(name)
            await crowd.finish()
            check_exact(crowd.streams, references)
        await watch.joined()
        await watch.whole()


async def test_with_everybody_frozen_each_stream_ends_in_time(fleet: Processes) -> None:
    """Its deadline is the client's own: whatever came until then is right, and the error says what kind it is."""
    fleet.mend()
    references = next_references()
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), greedy_wishes(references), deadline_s=8.0) as crowd:
            await crowd.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in crowd.streams) >= len(references))
            for name in BOTH:
                fleet.running[name].signal(signal.SIGSTOP)
            await crowd.finish()
            assert any(stream.error for stream in crowd.streams)
            check_exact_or_failed(crowd.streams, references)
        fleet.mend()
        await watch.joined()
        await watch.whole()
