"""The puller: best connection first, the rest over the next one, one line per lender, and fences."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from common.types.ids import AttemptId
from kvtransfer.pull import ChecksumMismatch, Endpoint, Puller, TransportFailed
from kvtransfer.transports.contract import FetchingTransport, LendingTransport, PoolBytes
from kvtransfer.transports.hello import Hello
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH, Gate, connect, make_lender
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, Loans, check_copied, descriptors, make_pool, pairs_of, snapshot

OTHER = AttemptId("r-2", 1)


@dataclass
class Yard:
    """A lender with several transports, a puller, and what happened between them."""

    source: PoolBytes
    own: PoolBytes
    loans: Loans
    lenders: dict[str, LendingTransport]
    puller: Puller
    gates: dict[str, Gate]
    made: list[FetchingTransport] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    described: int = 0
    layout: str = LAYOUT

    async def describe(self) -> tuple[str, list[tuple[str, str, bytes]]]:
        self.described += 1
        await asyncio.sleep(0)
        return self.layout, [(n, t.endpoint(), t.ticket(FETCHER_EPOCH)) for n, t in self.lenders.items()]

    def endpoint(self, epoch: int = EPOCH) -> Endpoint:
        return Endpoint("prefill:1", epoch, self.describe)

    @property
    def names(self) -> list[str]:
        return [transport.name for transport in self.made]


@contextlib.asynccontextmanager
async def pulling(*kinds: str, held: str = "", num_free: int = 2) -> AsyncIterator[Yard]:
    """The transport called `held` stops after `num_free` blocks until its gate is released."""
    source, own, loans = make_pool(12, 4099, seed=1), make_pool(12, 4099), Loans()
    gates = {kind: Gate(num_free if kind == held else None) for kind in kinds}
    speeds = {kind: 1e12 / (place + 1) for place, kind in enumerate(kinds)}
    lenders = {kind: make_lender(kind, source, loans, gates[kind].fabric) for kind in reversed(kinds)}

    async def reach(name: str, endpoint: str, hello: Hello, own: PoolBytes, stall_s: float) -> FetchingTransport:
        transport = await connect(name, endpoint, hello, own, gates[name])
        yard.made.append(transport)

        async def measure(num_blocks: int) -> float:
            return speeds[name]

        transport.measure = measure  # type: ignore[method-assign]
        return transport

    yard = Yard(source, own, loans, lenders, Puller(own, FETCHER_EPOCH), gates)
    yard.puller = Puller(own, FETCHER_EPOCH, transports=kinds, warn=yard.said.append, connect=reach)
    for lender in lenders.values():
        await lender.start()
    try:
        yield yard
    finally:
        for gate in gates.values():
            gate.release()
        await yard.puller.close()
        for lender in lenders.values():
            await lender.close()


@pytest.mark.parametrize("kinds", [("shm", "tcp", "memory"), ("tcp", "memory", "shm"), ("memory", "shm", "tcp")])
async def test_the_fastest_connection_carries(kinds: Sequence[str]) -> None:
    async with pulling(*kinds) as yard:
        before, pairs = snapshot(yard.own), pairs_of(yard.source, range(6), range(5, -1, -1))
        report = await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert (report.transport, report.num_bytes) == (kinds[0], 6 * 4099)
        check_copied(yard.source, yard.own, pairs, before)
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert sorted(yard.names) == sorted(kinds)
        assert yard.described == 1
        assert yard.puller.bytes_per_s > 0


@pytest.mark.parametrize(
    ("first", "then"), [("shm", "tcp"), ("tcp", "shm"), ("tcp", "memory"), ("memory", "tcp"), ("memory", "shm")]
)
async def test_what_is_left_goes_over_the_next_connection(first: str, then: str) -> None:
    async with pulling(first, then, held=first) as yard:
        before, pairs = snapshot(yard.own), pairs_of(yard.source, range(8), range(8, 0, -1))
        fetch = asyncio.create_task(yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs))
        await yard.gates[first].held.wait()
        broken = next(transport for transport in yard.made if transport.name == first)
        fence = asyncio.create_task(broken.fence())
        await asyncio.sleep(0)
        yard.gates[first].release()
        await fence
        report = await fetch
        assert report.transport == then
        check_copied(yard.source, yard.own, pairs, before)
        if then != "shm":
            assert yard.loans.asked < len(pairs) * (2 if first == "shm" else 3)
        assert yard.said == [f"transport {first} failed: the connection was fenced"]


async def test_when_every_connection_is_broken_new_ones_are_made() -> None:
    async with pulling("shm", "tcp") as yard:
        pairs = pairs_of(yard.source, range(4), range(4))
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        for transport in yard.made:
            await transport.fence()
        report = await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert report.transport == "shm"
        assert len(yard.made) == 4


async def test_a_lender_that_is_gone_fails_the_fetch() -> None:
    async with pulling("tcp") as yard:
        pairs = pairs_of(yard.source, range(4), range(4))
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        await yard.lenders["tcp"].close()
        with pytest.raises(TransportFailed, match="cannot be reached") as caught:
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert caught.value.landed == frozenset()
        assert yard.described == 2


async def test_a_refused_block_is_not_tried_another_way() -> None:
    async with pulling("tcp", "shm") as yard:
        yard.loans.generations[2] = 9
        with pytest.raises(TransportFailed, match="does not lend") as caught:
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs_of(yard.source, range(4), range(4)))
        assert caught.value.landed == {0, 1}
        yard.loans.generations.clear()
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs_of(yard.source, range(4), range(4)))
        assert len(yard.made) == 2


@pytest.mark.parametrize("kind", ["shm", "tcp"])
async def test_a_wrong_checksum_is_reported_at_its_own_position(kind: str) -> None:
    async with pulling(kind, "memory") as yard:
        pairs = pairs_of(yard.source, range(4), range(4))
        yard.source.blocks[3, 0] ^= 128
        with pytest.raises(ChecksumMismatch) as caught:
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert caught.value.position == 3


async def test_another_layout_or_no_common_transport_is_a_failure() -> None:
    async with pulling("shm") as yard:
        yard.layout = "other"
        with pytest.raises(TransportFailed, match="laid out"):
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())
        yard.layout = LAYOUT
        yard.lenders["nccl"] = yard.lenders.pop("shm")
        with pytest.raises(TransportFailed, match="no transport in common"):
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())
        yard.lenders["shm"] = yard.lenders.pop("nccl")
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())


async def test_a_lender_that_does_not_describe_itself_is_a_failure_this_time() -> None:
    async with pulling("shm") as yard:

        async def silent() -> tuple[str, list[tuple[str, str, bytes]]]:
            raise TransportFailed("no answer")

        with pytest.raises(TransportFailed, match="no answer"):
            await yard.puller.fetch(Endpoint("prefill:1", EPOCH, silent), ATTEMPT, ())
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())


async def test_many_fetches_share_one_line() -> None:
    async with pulling("tcp", "shm") as yard:
        before = snapshot(yard.own)
        fetches = [pairs_of(yard.source, [i], [i]) for i in range(12)]
        await asyncio.gather(
            *(yard.puller.fetch(yard.endpoint(), AttemptId(f"r-{i}", 1), p) for i, p in enumerate(fetches))
        )
        assert (yard.described, len(yard.made)) == (1, 2)
        check_copied(yard.source, yard.own, [pair for pairs in fetches for pair in pairs], before)


async def test_one_cancelled_fetch_does_not_take_the_line_from_the_others() -> None:
    async with pulling("tcp") as yard:
        pairs = pairs_of(yard.source, [1], [1])
        first = asyncio.create_task(yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs))
        second = asyncio.create_task(yard.puller.fetch(yard.endpoint(), OTHER, pairs))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()


@pytest.mark.parametrize("kind", ["shm", "tcp"])
async def test_a_fence_for_one_attempt_leaves_a_healthy_connection_alone(kind: str) -> None:
    async with pulling(kind, held=kind) as yard:
        fetch = asyncio.create_task(
            yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs_of(yard.source, [1, 3, 5, 7], [7, 5, 3, 1]))
        )
        await yard.gates[kind].held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        assert yard.puller.in_flight(ATTEMPT) == 1
        fence = asyncio.create_task(yard.puller.fence(yard.endpoint(), ATTEMPT))
        await asyncio.sleep(0)
        assert not fence.done()
        yard.gates[kind].release()
        await fence
        assert yard.puller.in_flight(ATTEMPT) == 0
        await yard.puller.fetch(yard.endpoint(), OTHER, pairs_of(yard.source, [2], [2]))
        assert len(yard.made) == 1


async def test_a_fence_ends_a_connection_that_hangs_and_others_go_on_over_a_new_one() -> None:
    async with pulling("memory", held="memory") as yard:
        before, pairs = snapshot(yard.own), pairs_of(yard.source, range(4), range(4))
        hung = asyncio.create_task(yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs))
        await yard.gates["memory"].held.wait()
        yard.gates["memory"].let_later_ones_pass()
        hung.cancel()
        await asyncio.wait([hung])
        await yard.puller.fence(yard.endpoint(), ATTEMPT)
        assert yard.puller.in_flight(ATTEMPT) == 0
        after = snapshot(yard.own)
        yard.gates["memory"].release()
        assert np.array_equal(yard.own.blocks, after)
        await yard.puller.fetch(yard.endpoint(), OTHER, pairs)
        check_copied(yard.source, yard.own, pairs, before)
        assert len(yard.made) == 2


async def test_a_fence_without_an_attempt_covers_the_whole_lender() -> None:
    async with pulling("shm", "tcp") as yard:
        pairs = pairs_of(yard.source, range(4), range(4))
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        await yard.puller.fence(yard.endpoint())
        for transport in yard.made:
            with pytest.raises(TransportFailed):
                await transport.fetch(ATTEMPT, pairs)
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs)
        assert len(yard.made) == 4


async def test_a_new_epoch_ends_the_connections_of_the_old_one() -> None:
    async with pulling("shm", "tcp") as yard:
        before = descriptors()
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())
        old = list(yard.made)
        with pytest.raises(TransportFailed, match="restarted"):
            await yard.puller.fetch(yard.endpoint(EPOCH + 1), ATTEMPT, ())
        await yard.puller.forget(yard.endpoint())
        for transport in old:
            with pytest.raises(TransportFailed):
                await transport.fetch(ATTEMPT, pairs_of(yard.source, [1], [1]))
        await yard.puller.close()
        for lender in yard.lenders.values():
            await lender.close()
        assert descriptors() <= before


async def test_forgetting_while_connecting_fails_the_fetch_that_waits() -> None:
    async with pulling("shm") as yard:
        never = asyncio.Event()

        async def slow() -> tuple[str, list[tuple[str, str, bytes]]]:
            await never.wait()
            return LAYOUT, []

        endpoint = Endpoint("prefill:1", EPOCH, slow)
        fetch = asyncio.create_task(yard.puller.fetch(endpoint, ATTEMPT, ()))
        await asyncio.sleep(0)
        await yard.puller.forget(endpoint)
        with pytest.raises(TransportFailed, match="forgotten"):
            await fetch
        await yard.puller.forget(endpoint)
        await yard.puller.close()
        with pytest.raises(TransportFailed, match="stopping"):
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())
