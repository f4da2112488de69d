"""Near streams: order, bounds both ways, and how each kind of end is told."""

import asyncio

import pytest

from common.net.near_stream import HEADER, MAX_BYTES, NearStream, NearStreamEnded
from tests.net.near import BAD, ends

SOON = 0.05


async def test_what_is_written_comes_whole_and_in_order_both_ways() -> None:
    messages = [b"", b"one", bytes(range(256)) * 2000, b"last"] * 3
    async with ends() as e:
        for message in messages:
            await e.here.write(message)
            await e.there.write(message[::-1])
        assert await e.heard_there.num(len(messages)) == messages
        assert await e.heard_here.num(len(messages)) == [message[::-1] for message in messages]


async def test_the_end_comes_after_all_that_was_written() -> None:
    async with ends() as e:
        for number in range(1000):
            await e.there.write(b"%d" % number)
        e.there.close()
        assert await e.here.ended == "the other end closed it"
        assert e.heard_here.messages == [b"%d" % number for number in range(1000)]
        assert await e.there.ended == "it was closed here"


async def test_a_cut_is_heard_at_once_on_both_ends() -> None:
    async with ends() as e:
        e.here.cut("enough")
        e.here.cut("again")
        assert await e.here.ended == "enough"
        assert await e.there.ended == "the other end closed it"


async def test_nothing_is_written_after_the_end() -> None:
    async with ends() as e:
        e.here.cut("enough")
        with pytest.raises(NearStreamEnded, match="enough"):
            await e.here.write(b"late")
        await e.there.ended
        with pytest.raises(NearStreamEnded, match="the other end closed it"):
            await e.there.write(b"late")


async def test_a_refused_message_ends_the_stream_and_those_behind_it_are_not_heard() -> None:
    async with ends() as e:
        e.here._transport.write(b"".join(HEADER.pack(len(each)) + each for each in (b"good", BAD, b"behind")))
        assert await e.there.ended == "a message was malformed"
        assert e.heard_there.messages == [b"good"]
        assert await e.here.ended == "the other end closed it"


async def test_a_message_of_the_greatest_length_passes() -> None:
    async with ends() as e:
        await e.here.write(bytes(MAX_BYTES))
        assert await e.heard_there.num(1) == [bytes(MAX_BYTES)]


async def test_a_longer_one_is_not_sent() -> None:
    async with ends() as e:
        with pytest.raises(NearStreamEnded, match="too long"):
            await e.here.write(bytes(MAX_BYTES + 1))
        await e.there.ended
        assert e.heard_there.messages == []


async def test_a_longer_one_is_not_taken() -> None:
    async with ends() as e:
        e.here._transport.write(HEADER.pack(MAX_BYTES + 1))
        assert await e.there.ended == "a message was too long"


async def flood(stream: NearStream) -> None:
    while True:
        await stream.write(bytes(MAX_BYTES))


async def test_a_writer_waits_for_a_reader_that_does_not_read() -> None:
    async with ends() as e:
        stalled(e.there)
        flooding = asyncio.create_task(flood(e.here))
        await asyncio.wait([flooding], timeout=SOON)
        assert not flooding.done()
        held = e.here._transport.get_write_buffer_size()
        assert held <= 2 * (MAX_BYTES + HEADER.size)
        e.there._transport.resume_reading()
        await e.heard_there.num(5)
        flooding.cancel()


async def test_it_waits_no_longer_than_it_may() -> None:
    async with ends() as e:
        stalled(e.there)
        e.here.stall_s = SOON
        with pytest.raises(NearStreamEnded, match="takes nothing"):
            await flood(e.here)
        assert await e.here.ended == "the other end takes nothing"


async def test_the_end_wakes_a_writer_that_waits() -> None:
    async with ends() as e:
        stalled(e.there)
        flooding = asyncio.create_task(flood(e.here))
        await asyncio.wait([flooding], timeout=SOON)
        e.there.cut("enough")
        with pytest.raises(NearStreamEnded, match="the other end closed it"):
            await flooding


def stalled(stream: NearStream) -> None:
    stream._transport.pause_reading()
