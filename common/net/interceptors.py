"""The outermost layers of every server: what a service raises becomes a status, and no exception's text leaves.

`CatchAll` maps expected errors through the table and gives bugs an id: the client sees the id, the log has the
traceback. Cancellation and gRPC's own aborts pass. `CallLimit` refuses calls over a count, at once. Knows no service.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from common.net.errors import grpc_status, internal_status, is_public, to_status
from common.types.errors import BatonError, Overloaded, PeerLost, invalid

_log = logging.getLogger("baton.net")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Method | None]]"
Guard: TypeAlias = "Callable[[Context], AbstractAsyncContextManager[None]]"


class CatchAll(grpc.aio.ServerInterceptor):
    """Expected errors get their row of the table; anything else is logged and hidden."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Method | None":
        method = await continuation(handler_call_details)
        name = handler_call_details.method
        return None if method is None else around(_readable(method), lambda context: _caught(context, name))


class CallLimit(grpc.aio.ServerInterceptor):
    """At most so many calls of one service at once. Refuses before the request is looked at, in constant time."""

    def __init__(self, service: str, max_calls: int, retry_after_ms: int = 1000) -> None:
        self._prefix, self._max_calls, self._retry_after_ms = f"/{service}/", max_calls, retry_after_ms
        self.num_calls = 0

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Method | None":
        method = await continuation(handler_call_details)
        if method is None or not handler_call_details.method.startswith(self._prefix):
            return method
        return around(method, self._counted)

    @asynccontextmanager
    async def _counted(self, context: Context) -> AsyncIterator[None]:
        if self.num_calls >= self._max_calls:
            raise Overloaded("too many calls at once", self._retry_after_ms)
        self.num_calls += 1
        try:
            yield
        finally:
            self.num_calls -= 1


def around(method: Method, guard: Guard) -> Method:
    """The same method, run inside the guard. A streamed answer's generator is closed when its call ends."""

    async def one(request: Any, context: Context) -> Any:
        async with guard(context):
            return await inner(request, context)

    async def many(request: Any, context: Context) -> None:
        async with guard(context):
            answer = inner(request, context)
            if not hasattr(answer, "__aiter__"):
                await answer
                return
            async with aclosing(answer):
                async for message in answer:
                    await context.write(message)

    inner, build = _parts(method)
    outer = many if method.response_streaming else one
    result: Method = build(outer, method.request_deserializer, method.response_serializer)
    return result


def _parts(method: Method) -> tuple[Any, Any]:
    """Its behaviour, and what builds a method of its kind."""
    if method.request_streaming and method.response_streaming:
        return method.stream_stream, grpc.stream_stream_rpc_method_handler
    if method.request_streaming:
        return method.stream_unary, grpc.stream_unary_rpc_method_handler
    if method.response_streaming:
        return method.unary_stream, grpc.unary_stream_rpc_method_handler
    return method.unary_unary, grpc.unary_unary_rpc_method_handler


def _readable(method: Method) -> Method:
    """The same method, without bytes that are no message of its: gRPC would send the parser's text to the client.

    Messages that the method has written out itself pass as they are.
    """
    parse = method.request_deserializer or bytes

    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _UNREADABLE

    async def each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield _checked(request)

    inner, build = _parts(method)
    streaming = method.request_streaming

    def behave(request: Any, context: Context) -> Any:
        return inner(each(request) if streaming else _checked(request), context)

    write = method.response_serializer or bytes

    def written(message: Any) -> bytes:
        return message if type(message) is bytes else write(message)

    result: Method = build(behave, read, written)
    return result


_UNREADABLE = object()


def _checked(request: Any) -> Any:
    if request is _UNREADABLE:
        raise invalid("request", "is not a message of this method")
    return request


@asynccontextmanager
async def _caught(context: Context, name: str) -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except NotImplementedError:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not implement the method")
    except Exception as error:  # noqa: BLE001 -- nothing may pass this line as text
        expected = expected_error(error)
        if expected is not None and is_public(expected):
            await context.abort_with_status(to_status(expected))
        error_id = secrets.token_hex(6)
        _log.exception("bug", extra={"method": name, "error_id": error_id})
        await context.abort_with_status(grpc_status(internal_status(error_id)))


def expected_error(error: Exception) -> BatonError | PeerLost | None:
    """The error itself, or the first of a task group's when all of them were expected; None for a bug."""
    if isinstance(error, BatonError | PeerLost):
        return error
    if isinstance(error, ExceptionGroup):
        found = [expected_error(inner) for inner in error.exceptions]
        return None if None in found else found[0]
    return None
