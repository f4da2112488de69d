"""The puller: best connection first, the rest over the next one, one line per lender."""

import asyncio
from collections.abc import Sequence

import pytest

from common.types.ids import AttemptId
from kvtransfer.pull import ChecksumMismatch, Endpoint, TransportFailed
from tests.kvtransfer.carriers import EPOCH
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, check_copied, pairs_of, snapshot
from tests.kvtransfer.yard import pulling

OTHER = AttemptId("r-2", 1)


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


async def test_a_wrong_checksum_after_a_change_of_connection_is_at_its_own_position_too() -> None:
    async with pulling("shm", "tcp", held="shm") as yard:
        pairs = pairs_of(yard.source, range(8), range(8, 0, -1))
        fetch = asyncio.create_task(yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs))
        await yard.gates["shm"].held.wait()
        yard.source.blocks[6, 0] ^= 128
        fence = asyncio.create_task(next(made for made in yard.made if made.name == "shm").fence())
        await asyncio.sleep(0)
        yard.gates["shm"].release()
        await fence
        with pytest.raises(ChecksumMismatch) as caught:
            await fetch
        assert (caught.value.position, caught.value.source) == (6, pairs[6].source)


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
        assert yard.said == []
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


async def test_meeting_connects_ahead_of_the_first_fetch() -> None:
    async with pulling("shm", "tcp") as yard:
        await yard.puller.meet(yard.endpoint())
        assert sorted(yard.names) == ["shm", "tcp"]
        await yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs_of(yard.source, [1], [1]))
        assert (yard.described, len(yard.made)) == (1, 2)
        yard.layout = "other"
        await yard.puller.forget(yard.endpoint())
        await yard.puller.meet(yard.endpoint())
        with pytest.raises(TransportFailed, match="laid out"):
            await yard.puller.fetch(yard.endpoint(), ATTEMPT, ())


async def test_one_cancelled_fetch_does_not_take_the_line_from_the_others() -> None:
    async with pulling("tcp") as yard:
        pairs = pairs_of(yard.source, [1], [1])
        first = asyncio.create_task(yard.puller.fetch(yard.endpoint(), ATTEMPT, pairs))
        second = asyncio.create_task(yard.puller.fetch(yard.endpoint(), OTHER, pairs))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()
