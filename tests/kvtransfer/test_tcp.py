"""The tcp lender against peers that are slow, many, or speak nonsense; and what it binds to."""

import asyncio
import contextlib
import select
import struct
from collections.abc import AsyncIterator

import pytest

from common.types.errors import StartupError
from common.types.ids import AttemptId
from kvtransfer.transports.contract import PoolBytes, TransportFailed
from kvtransfer.transports.frames import FRAME, REQUEST, REQUEST_MAGIC, pack_probe, pack_request
from kvtransfer.transports.hello import HELLO, WELCOME, Hello, Refusal, Welcome
from kvtransfer.transports.tcp import TcpLender
from kvtransfer.transports.tcp_fetch import NUM_WINDOWS, WINDOW_BYTES, TcpFetcher
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH, carrying, hello_for
from tests.kvtransfer.pools import ATTEMPT, LAYOUT, Loans, check_copied, descriptors, make_pool, pairs_of, snapshot

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def lending(source: PoolBytes, **settings: float) -> AsyncIterator[TcpLender]:
    lender = TcpLender(source, EPOCH, Loans().lends, **settings)  # type: ignore[arg-type]
    await lender.start()
    try:
        yield lender
    finally:
        await lender.close()


async def dial(lender: TcpLender, first: bytes) -> Streams:
    host, port = lender.endpoint().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(first)
    return reader, writer


async def hang_up(*streams: Streams) -> None:
    for _, writer in streams:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_hello_that_never_ends_is_cut_off() -> None:
    async with lending(make_pool(4, 100, seed=1), receipt_s=1.5) as lender:
        own = make_pool(4, 100)
        slow = [await dial(lender, hello_for(lender, own).pack()[:-1]) for _ in range(5)]
        assert [await reader.read() for reader, _ in slow] == [b""] * 5
        await hang_up(*slow)
        fetcher = await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own)
        await fetcher.close()


async def test_a_request_that_never_ends_is_cut_off_but_an_idle_connection_is_not() -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    async with lending(source, receipt_s=2.0) as lender:
        hello = hello_for(lender, own).pack()
        idle, slow = await dial(lender, hello), await dial(lender, hello)
        for reader, _ in (idle, slow):
            assert Welcome.unpack(await reader.readexactly(WELCOME.size)).status == 0
        slow[1].write(pack_request(ATTEMPT, pairs_of(source, [1], [1]))[:-1])
        assert await slow[0].read() == b""
        idle[1].write(pack_request(ATTEMPT, pairs_of(source, [1], [1])))
        answer = await idle[0].readexactly(FRAME.size + 100)
        assert answer[FRAME.size :] == source.blocks[1].tobytes()
        await hang_up(idle, slow)


async def test_strangers_take_only_the_places_that_are_for_strangers() -> None:
    own = make_pool(4, 100)
    async with lending(make_pool(4, 100, seed=1), receipt_s=30.0, max_strangers=3) as lender:
        fetcher = await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own)
        strangers = [await dial(lender, b"x") for _ in range(3)]
        for _ in range(3):
            one_more = await dial(lender, b"")
            assert await one_more[0].read() == b""
            await hang_up(one_more)
        assert await fetcher.measure(1) > 0
        await hang_up(*strangers)
        await fetcher.close()


async def test_connections_are_counted_and_one_too_many_is_told_so() -> None:
    own = make_pool(4, 100)
    async with lending(make_pool(4, 100, seed=1), max_connections=2) as lender:
        fetchers = [await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own) for _ in range(2)]
        with pytest.raises(TransportFailed, match="too many"):
            await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own)
        for fetcher in fetchers:
            await fetcher.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: me\r\n\r\n",
        REQUEST.pack(REQUEST_MAGIC, 1, 65535, 0, 1),
        REQUEST.pack(REQUEST_MAGIC, 1, 0, 0, 2**32 - 1),
        REQUEST.pack(REQUEST_MAGIC, 2, 0, 0, 4096),
        REQUEST.pack(REQUEST_MAGIC, 1, 1, 0, 1) + b"\xff" + bytes(12),
    ],
)
async def test_a_request_that_cannot_be_read_gets_a_typed_refusal_and_the_connection_ends(request_bytes: bytes) -> None:
    own = make_pool(4, 1 << 20)
    async with lending(make_pool(4, 1 << 20, seed=1)) as lender:
        reader, writer = await dial(lender, hello_for(lender, own).pack())
        await reader.readexactly(WELCOME.size)
        writer.write(request_bytes)
        answer = await reader.readexactly(FRAME.size)
        assert FRAME.unpack(answer)[1] == Refusal.MALFORMED
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        await hang_up((reader, writer))


@pytest.mark.parametrize(
    ("block", "generation", "refusal"), [(4, 1, Refusal.RANGE), (2**32 - 1, 1, Refusal.RANGE), (2, 9, Refusal.NOT_LENT)]
)
async def test_a_refused_block_ends_the_answer_not_the_connection(
    block: int, generation: int, refusal: Refusal
) -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    async with lending(source) as lender:
        reader, writer = await dial(lender, hello_for(lender, own).pack())
        await reader.readexactly(WELCOME.size)
        request = bytearray(pack_request(ATTEMPT, pairs_of(source, [0, 1, 2], [0, 1, 2])))
        request[-24:-12] = struct.pack("<IQ", block, generation)
        writer.write(request)
        first = await reader.readexactly(FRAME.size + 100)
        assert first[FRAME.size :] == source.blocks[0].tobytes()
        assert FRAME.unpack(await reader.readexactly(FRAME.size))[1] == refusal
        writer.write(pack_probe(1))
        assert FRAME.unpack((await reader.readexactly(FRAME.size + 100))[: FRAME.size])[1] == 0
        await hang_up((reader, writer))


async def test_an_attempt_is_served_its_own_blocks_only() -> None:
    source, own = make_pool(4, 100, seed=1), make_pool(4, 100)
    async with lending(source) as lender:
        fetcher = await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own)
        with pytest.raises(TransportFailed, match="does not lend"):
            await fetcher.fetch(AttemptId("stranger", 1), pairs_of(source, [0], [0]))
        await fetcher.close()


async def test_a_fetcher_that_reads_nothing_is_cut_off() -> None:
    source, own = make_pool(8, 4 << 20, seed=1), make_pool(8, 4 << 20)
    async with lending(source, stall_s=0.5) as lender:
        reader, writer = await dial(lender, hello_for(lender, own).pack())
        await reader.readexactly(WELCOME.size)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(4):
            writer.write(pack_request(ATTEMPT, pairs_of(source, range(8), range(8))))
        hung_up = select.poll()
        hung_up.register(writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
        assert await asyncio.to_thread(hung_up.poll, 60_000)
        await hang_up((reader, writer))


async def test_a_stranger_is_told_nothing_but_that_the_ticket_is_wrong() -> None:
    async with lending(make_pool(4, 100, seed=1)) as lender:
        reader, writer = await dial(lender, Hello(1, 2, "guess", 3, bytes(32)).pack())
        assert Welcome.unpack(await reader.read()) == Welcome(Refusal.TICKET)
        await hang_up((reader, writer))
        rubbish = await dial(lender, b"y" * HELLO.size)
        assert Welcome.unpack(await rubbish[0].read()) == Welcome(Refusal.MALFORMED)
        await hang_up(rubbish)


@pytest.mark.parametrize(
    ("host", "advertise", "expose", "cause"),
    [
        ("0.0.0.0", "", False, "reachable from other machines"),
        ("192.0.2.1", "", False, "reachable from other machines"),
        ("0.0.0.0", "", True, "every address"),
        ("::", "", True, "every address"),
        ("192.0.2.1", "", True, "cannot listen"),
        ("prefill.example", "", True, "an IP address"),
    ],
)
async def test_it_does_not_listen_where_it_should_not(host: str, advertise: str, expose: bool, cause: str) -> None:
    lender = TcpLender(make_pool(2, 8), EPOCH, Loans().lends, host=host, advertise=advertise, expose=expose)
    with pytest.raises(StartupError, match=cause):
        await lender.start()
    await lender.close()


async def test_every_address_with_one_to_advertise() -> None:
    source, own = make_pool(2, 8, seed=1), make_pool(2, 8)
    lender = TcpLender(source, EPOCH, Loans().lends, host="0.0.0.0", advertise="localhost", expose=True)
    await lender.start()
    assert lender.endpoint().startswith("localhost:")
    fetcher = await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own)
    before, pairs = snapshot(own), pairs_of(source, [1], [0])
    await fetcher.fetch(ATTEMPT, pairs)
    check_copied(source, own, pairs, before)
    await fetcher.close()
    await lender.close()


@pytest.mark.parametrize(
    "endpoint", ["", "localhost", ":1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999999", "256.1.1.1:5"]
)
async def test_an_endpoint_that_is_none_is_a_failure(endpoint: str) -> None:
    own = make_pool(2, 8)
    with pytest.raises(TransportFailed):
        await TcpFetcher.connect(endpoint, Hello(EPOCH, FETCHER_EPOCH, LAYOUT, 8, bytes(32)), own)


async def test_nothing_is_left_open() -> None:
    source, own = make_pool(4, 4096, seed=1), make_pool(4, 4096)
    before = descriptors()
    for _ in range(3):
        async with lending(source) as lender:
            fetchers = [await TcpFetcher.connect(lender.endpoint(), hello_for(lender, own), own) for _ in range(3)]
            await asyncio.gather(*(fetcher.fetch(ATTEMPT, pairs_of(source, [1, 3], [0, 2])) for fetcher in fetchers))
            with pytest.raises(TransportFailed):
                await TcpFetcher.connect(lender.endpoint(), Hello(1, 2, LAYOUT, 4096, bytes(32)), own)
            await fetchers[0].close()
        for fetcher in fetchers[1:]:
            with pytest.raises(TransportFailed, match="closed"):
                await fetcher.fetch(ATTEMPT, pairs_of(source, [1, 3], [0, 2]))
            await fetcher.close()
        assert descriptors() <= before


async def test_a_stopped_copy_asks_for_no_more_than_it_had() -> None:
    async with carrying("tcp", num_blocks=48, block_bytes=1 << 20, num_free=2) as c:
        fetch = asyncio.create_task(c.fetcher.fetch(ATTEMPT, pairs_of(c.source, range(48), range(48))))
        await c.gate.held.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        c.gate.release()
        await c.fetcher.drained(ATTEMPT)
        assert c.loans.asked <= NUM_WINDOWS * WINDOW_BYTES >> 20
        assert (c.own.blocks[3:] == 0xEE).all()
