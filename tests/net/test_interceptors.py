"""What a service raises, in all four kinds of call; cancellation; limits on calls."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from common.net.errors import from_rpc_error
from common.net.interceptors import CallLimit, expected_error
from common.types.errors import InvalidRequest, Overloaded, PeerLost, StaleAttempt, invalid
from tests.net.servers import connected

SERVICE = "test.Service"
Body = Callable[[], Awaitable[None]]


def as_is(data: bytes) -> bytes:
    return data


class FourKinds:
    """One method of each kind, and two ways to stream an answer; all run the same body after one message."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.closed = asyncio.Event()

    async def one(self, request: Any, context: Any) -> bytes:
        if not isinstance(request, bytes):
            async for _ in request:
                break
        try:
            await self.body()
        finally:
            self.closed.set()
        return b"done"

    async def generated(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await self.body()
            yield b"last"
        finally:
            self.closed.set()

    async def written(self, request: Any, context: Any) -> None:
        await context.write(b"first")
        try:
            await self.body()
            await context.write(b"last")
        finally:
            self.closed.set()

    def register(self, server: grpc.aio.Server) -> None:
        one: Any = self.one
        generated: Any = self.generated
        written: Any = self.written
        methods = {
            "UnaryUnary": grpc.unary_unary_rpc_method_handler(one, as_is, as_is),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(one, as_is, as_is),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(generated, as_is, as_is),
            "StreamStream": grpc.stream_stream_rpc_method_handler(generated, as_is, as_is),
            "Written": grpc.unary_stream_rpc_method_handler(written, as_is, as_is),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


KINDS = ("UnaryUnary", "StreamUnary", "UnaryStream", "StreamStream", "Written")


def start(channel: Any, kind: str) -> Any:
    path = f"/{SERVICE}/{kind}"
    match kind:
        case "UnaryUnary":
            return channel.unary_unary(path)(b"x")
        case "StreamUnary":
            return channel.stream_unary(path)(iter([b"x"]))
        case "StreamStream":
            return channel.stream_stream(path)(iter([b"x"]))
        case "UnaryStream" | "Written":
            return channel.unary_stream(path)(b"x")
        case _:
            return channel.unary_unary(path)(b"x")


async def answers(call: Any) -> list[bytes]:
    if hasattr(call, "__aiter__"):
        return [message async for message in call]
    return [await call]


@pytest.mark.parametrize("kind", KINDS)
async def test_without_an_error_nothing_changes(kind: str) -> None:
    async def nothing() -> None:
        return

    async with connected(FourKinds(nothing).register) as channel:
        streamed = kind not in ("UnaryUnary", "StreamUnary")
        assert await answers(start(channel, kind)) == ([b"first", b"last"] if streamed else [b"done"])


@pytest.mark.parametrize("kind", KINDS)
async def test_an_expected_error_becomes_its_status(kind: str) -> None:
    async def refuse() -> None:
        raise invalid("x", "must be y")

    async with connected(FourKinds(refuse).register) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answers(start(channel, kind))
    error = from_rpc_error(caught.value, "test")
    assert isinstance(error, InvalidRequest)
    assert error.violations[0].field == "x"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_is_logged_with_an_id_and_hidden(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def bug() -> None:
        raise RuntimeError("secret at /home/x")

    with caplog.at_level(logging.ERROR, "baton.net"):
        async with connected(FourKinds(bug).register) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answers(start(channel, kind))
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in repr(caught.value)
    # gRPC's poller serves all loops of a process, and may tell asyncio's logger of one that an earlier test closed.
    (record,) = [record for record in caplog.records if record.name == "baton.net"]
    error = from_rpc_error(caught.value, "test")
    assert isinstance(error, PeerLost)
    assert vars(record)["error_id"] in error.detail
    assert vars(record)["method"] == f"/{SERVICE}/{kind}"
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_reaches_the_body(kind: str) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    service = FourKinds(wait)
    async with connected(service.register) as channel:
        call = start(channel, kind)
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 10)
        await asyncio.wait_for(service.closed.wait(), 10)


async def test_a_service_s_own_abort_passes() -> None:
    class Aborting(FourKinds):
        async def one(self, request: Any, context: Any) -> bytes:
            await context.abort(grpc.StatusCode.ABORTED, "my own words")
            return b""

    async def nothing() -> None:
        return

    async with connected(Aborting(nothing).register) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await start(channel, "UnaryUnary")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.ABORTED, "my own words")


async def test_an_unknown_method_is_unimplemented() -> None:
    async def nothing() -> None:
        return

    async with connected(FourKinds(nothing).register) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await start(channel, "Other")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_calls_over_the_limit_are_refused_and_room_comes_back() -> None:
    go, entered = asyncio.Event(), asyncio.Queue[None]()

    async def wait() -> None:
        entered.put_nowait(None)
        await go.wait()

    limit = CallLimit(SERVICE, 2, retry_after_ms=500)
    async with connected(FourKinds(wait).register, interceptors=[limit]) as channel:
        first = [start(channel, "UnaryUnary"), start(channel, "UnaryUnary")]
        for _ in first:
            await entered.get()
        for kind in KINDS:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answers(start(channel, kind))
            error = from_rpc_error(caught.value, "test")
            assert isinstance(error, Overloaded)
            assert error.retry_after_ms == 500
        go.set()
        assert [await call for call in first] == [b"done", b"done"]
        assert await start(channel, "UnaryUnary") == b"done"
    assert limit.num_calls == 0


async def test_a_limit_is_for_one_service() -> None:
    async def nothing() -> None:
        return

    async with connected(FourKinds(nothing).register, interceptors=[CallLimit("test.Other", 0)]) as channel:
        assert await start(channel, "UnaryUnary") == b"done"


def test_groups_of_expected_errors_count_as_their_first() -> None:
    first, second = StaleAttempt("a"), invalid("x", "y")
    assert expected_error(ExceptionGroup("", [first, ExceptionGroup("", [second])])) is first
    assert expected_error(ExceptionGroup("", [first, ValueError()])) is None
    assert expected_error(ValueError()) is None
