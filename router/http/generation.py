"""Runs the asks of one HTTP request and sends what comes, as a stream of events or as one body.

Owns the order of things on the wire: headers, events, the last error; knows neither of the two dialects.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from common.obs.log import bound
from common.types.errors import InvalidRequest, Violation
from router.ask import Ask
from router.http.caller import Caller, Patience
from router.http.front import Front
from router.http.gathered import Gathered
from router.http.many import Take, generate_all
from router.http.pieces import DONE, dumped, event
from router.http.refusal import bug_reply, reply_to
from router.relay import Outlet
from router.serving import Accepted, Message

_log = logging.getLogger("baton.router.http")
EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
"""The last one keeps a proxy from collecting events until there are many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one HTTP request asks; `names` are its fields as the client called them, `user` is for the log."""

    asks: Sequence[Ask]
    names: Mapping[str, str]
    user: str | None


class Events(Protocol):
    """Turns messages into the chunks of one kind of completion."""

    def take(self, place: int, messages: Sequence[Message]) -> bytes:
        """Whole events, or nothing yet."""
        ...


class Generation(Response):
    """Answered while it runs: refusals are raised before anything was sent, and keep their status."""

    def __init__(self, front: Front, asked: Asked) -> None:
        self._front, self._asked = front, asked
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except InvalidRequest as error:
            raise _renamed(error, self._asked.names) from None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise TypeError("neither streamed nor whole")

    async def _generate(self, take: Take, outlets: Sequence[Outlet]) -> None:
        """In a task of its own: what is written would wake the whole stack of middleware above, layer by layer."""
        asked, deadline_s = self._asked, self._front.config.default_deadline_s
        work = generate_all(self._front.serving, asked.asks, deadline_s, take, outlets)
        with bound(user=asked.user) if asked.user is not None else nullcontext():
            task = asyncio.get_running_loop().create_task(work)
        await task


class Whole(Generation):
    """One body in the end; a client that hangs up before ends it too."""

    def __init__(
        self,
        front: Front,
        asked: Asked,
        render: Callable[[Sequence[Gathered]], Mapping[str, Any]],
    ) -> None:
        super().__init__(front, asked)
        self._render = render

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        gathered = [Gathered.of(ask.num_choices) for ask in self._asked.asks]

        async def take(place: int, messages: Sequence[Message]) -> None:
            gathered[place].take(messages)

        async with Caller(scope, receive, send, Patience.of(self._front.config)):
            await self._generate(take, gathered)
        body = dumped(self._render(gathered)).encode()
        await Response(body, media_type="application/json")(scope, receive, send)


class _Prompt:
    """One prompt's outlet, once its stream has begun: straight into the connection."""

    __slots__ = ("_caller", "_events", "_place")

    def __init__(self, place: int, events: Events, caller: Caller) -> None:
        self._place, self._events, self._caller = place, events, caller

    @property
    def ready(self) -> bool:
        pipe = self._caller.pipe
        return pipe is not None and not pipe.full

    def push(self, messages: Sequence[Message]) -> None:
        data = self._events.take(self._place, messages)
        if data:
            self._caller.push(data)


class Streamed(Generation):
    """Events as they come. Headers go as soon as all prompts are on their way; from then on an error is an event too,
    the last.
    """

    def __init__(self, front: Front, asked: Asked, events: Events) -> None:
        super().__init__(front, asked)
        self._events = events

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with Caller(scope, receive, send, Patience.of(self._front.config)) as caller:
            num_waiting = len(self._asked.asks)

            async def take(place: int, messages: Sequence[Message]) -> None:
                nonlocal num_waiting
                data = self._events.take(place, messages)
                num_waiting -= isinstance(messages[0], Accepted)
                if data or not num_waiting:
                    await caller.start(EVENT_STREAM)
                if data:
                    await caller.write(data)

            outlets = [_Prompt(place, self._events, caller) for place in range(len(self._asked.asks))]
            try:
                await self._generate(take, outlets)
            except Exception as error:
                if not caller.started:
                    raise
                await caller.write(_last_event(error), more=False)
            else:
                await caller.write(DONE, more=False)


def _last_event(error: Exception) -> bytes:
    """Its status went out long ago; the type is what is left to tell errors apart."""
    reply = reply_to(error)
    if reply is None:
        error_id = secrets.token_hex(6)
        _log.error("bug", extra={"error_id": error_id}, exc_info=error)
        reply = bug_reply(error_id)
    return event(reply.body.decode())


def _renamed(error: InvalidRequest, names: Mapping[str, str]) -> InvalidRequest:
    """The same with fields as the client called them."""
    return InvalidRequest(
        *(Violation(names.get(each.field, each.field), each.description) for each in error.violations)
    )
