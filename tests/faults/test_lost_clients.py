"""Clients that go, die, or stop reading: nothing is computed for them any longer, and nobody else notices."""

import re
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from baton.client import Client
from baton.client.prompts import Asking
from baton.client.results import Delta, Event
from common.types.errors import Cancelled
from tests.faults.conftest import StartFleet, quick_layout
from tests.faults.crowd import Crowd, Wish
from tests.faults.references import Reference, check_exact, greedy, greedy_wishes, next_references
from tests.faults.watch import Watch
from tests.system.processes import Processes, Zygote

ENDLESS = 3000
"""Tokens that take many times longer than the tests do."""


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Processes:
    layout = quick_layout(1, 1)
    return start_fleet(replace(layout, router_flags=(*layout.router_flags, "--stalled-reader-s=1")))


async def test_compute_stops_when_clients_leave(fleet: Processes) -> None:
    fleet.mend()
    leaving, staying = next_references(), next_references(4)
    async with Watch(fleet) as watch:
        await watch.joined()
        async with Crowd(fleet.grpc(), greedy_wishes(staying)) as others:
            async with Crowd(fleet.grpc(), [Wish(each.prompt, greedy(ENDLESS // 3)) for each in leaving]) as crowd:
                await crowd.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in crowd.streams) > len(leaving))
            await others.finish()
            check_exact(others.streams, staying)
        await watch.whole()
    assert sum(output_tokens(fleet)) < len(leaving) * ENDLESS // 8


async def test_compute_stops_when_a_client_is_killed(fleet: Processes, zygote: Zygote, tmp_path: Path) -> None:
    fleet.mend()
    async with Watch(fleet) as watch:
        await watch.joined()
        argv = ["generate", f"--grpc={fleet.grpc()}", f"--max-tokens={ENDLESS}", "--seed=1", "a relay race"]
        client = zygote.start("client", "baton.cli.main", argv, tmp_path / "client.log")
        await watch.until(lambda _: len("".join(client.lines())) > 50)
        client.signal(signal.SIGKILL)
        assert await client.ended() == -signal.SIGKILL
        await watch.whole()
    assert output_tokens(fleet)[-1] < ENDLESS


async def test_a_client_that_stops_reading_is_cut(fleet: Processes) -> None:
    """What it finds when it reads again is right as far as it goes, and ends with the reason."""
    fleet.mend()
    (reference, *others) = next_references(5)
    # four choices: one alone may fit into what gRPC keeps for a client that was quick so far
    asking = Asking(max_tokens=ENDLESS, temperature=0.0, ignore_eos=True, logprobs=20, n=4)
    async with Watch(fleet) as watch, Client(fleet.grpc(), deadline_s=60) as client:
        await watch.joined()
        async with aclosing(client.generate(reference.prompt, **asking)) as events:
            token_ids = [token_id async for token_id in first_tokens(events, 8)]
            async with Crowd(fleet.grpc(), greedy_wishes(others)) as crowd:
                await crowd.finish()
                check_exact(crowd.streams, others)
            await watch.whole()
            with pytest.raises(Cancelled, match="read nothing for 1 s"):
                token_ids += [token_id async for token_id in first_tokens(events, ENDLESS)]
    assert len(token_ids) < ENDLESS
    check_beginning(reference, token_ids)


async def first_tokens(events: AsyncIterator[Event], num_tokens: int) -> AsyncIterator[int]:
    """At least so many, unless the stream ends before."""
    async for event in events:
        if isinstance(event, Delta) and event.choice == 0:
            for token_id in event.token_ids:
                yield token_id
            num_tokens -= len(event.token_ids)
            if num_tokens <= 0:
                return


def check_beginning(reference: Reference, token_ids: list[int]) -> None:
    num_known = min(len(reference.tokens), len(token_ids))
    assert token_ids[:num_known] == list(reference.tokens[:num_known])


def output_tokens(fleet: Processes) -> list[int]:
    """How much was made for each request, by the router's own account."""
    found = (re.search(r" ended .*output_tokens=(\d+)", line) for line in fleet.running["router-0"].lines())
    return [int(match[1]) for match in found if match is not None]
