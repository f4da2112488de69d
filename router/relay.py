"""Between a request's tokens and its client: text per choice, and a bounded buffer that a slow reader drains in gulps.

A reader that keeps up gets every token as it comes; one that does not gets all that came meanwhile in one message per
choice. Where a client can take a message without anybody waiting for it, the reader is left asleep. Knows nothing of
gRPC and nothing of attempts: what is delivered here was accepted.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from common.types.sampling import SampledToken, TokenLogprobs
from router.answer import Answer, Delta, joined

T = TypeVar("T")
MAX_PENDING_TOKENS = 8192
MAX_DELTA_TOKENS = 256
MAX_SCORES = 512
"""Bounds of one message: with 20 alternatives a token takes about a quarter of a KiB."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Log probabilities of a stretch of the prompt."""

    tokens: tuple[TokenLogprobs, ...]


Outgoing = Delta | Scores


class Outlet(Protocol):
    """A client's end of the stream, for messages that need not be waited for: no task is woken for such a token."""

    @property
    def ready(self) -> bool:
        """Whether `push` may be called now. Looked at for every token."""
        ...

    def push(self, messages: tuple[Outgoing, ...]) -> None:
        """Begins to send, and returns."""
        ...


class Relay:
    """`deliver`, `score`, `flush`, `close` and `fail` on one side, `next` on the other; one event loop."""

    __slots__ = ("_answers", "_closed", "_deltas", "_error", "_outlet", "_reader", "_scores")

    def __init__(self, answers: Mapping[int, Answer], outlet: Outlet | None = None) -> None:
        self._answers = answers
        self._outlet = outlet
        self._deltas: list[Delta] = []
        self._scores: list[TokenLogprobs] = []
        self._reader: asyncio.Future[None] | None = None
        self._closed = False
        self._error: Exception | None = None

    def deliver(self, token: SampledToken) -> bool:
        """Whether a stop string ended the choice, which the worker cannot know. `flush` lets it go."""
        delta = self._answers[token.choice].add(token)
        self._deltas.append(delta)
        return delta.finish is not None and token.finish is None

    def score(self, tokens: tuple[TokenLogprobs, ...]) -> None:
        self._scores.extend(tokens)

    def flush(self) -> bool:
        """Lets go what was delivered; whether more is left than may be: then the reader should be cut.

        Only while the reader sleeps is nothing before it on its way.
        """
        reader, outlet, deltas = self._reader, self._outlet, self._deltas
        if reader is not None and not reader.done():
            if outlet is not None and (deltas or self._scores) and outlet.ready:
                if len(deltas) == 1 and not self._scores:  # of a reader that keeps up: nearly always
                    outlet.push((deltas.pop(),))
                    return False
                outlet.push(self._take())
            if self._deltas or self._scores:
                self._wake()
        return len(self._deltas) + len(self._scores) > MAX_PENDING_TOKENS

    def close(self) -> None:
        """All was delivered."""
        self._closed = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Ends the stream with this error once what was delivered before has been read. The first error stays."""
        if not self._closed:
            self._error = error
        self.close()

    async def next(self) -> tuple[Outgoing, ...]:
        """All that waits, up to the bounds of a message; empty after the end. Raises the error of `fail`."""
        while True:
            if self._waits:
                return self._take()
            if self._error is not None:
                raise self._error
            if self._closed:
                return ()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    @property
    def _waits(self) -> bool:
        return bool(self._deltas or self._scores)

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _take(self) -> tuple[Outgoing, ...]:
        outgoing: list[Outgoing] = []
        if self._scores:
            outgoing.append(Scores(tuple(_first(self._scores, MAX_SCORES))))
        by_choice: dict[int, list[Delta]] = {}
        for delta in self._deltas:
            by_choice.setdefault(delta.choice, []).append(delta)
        outgoing.extend(joined(_first(by_choice[choice], MAX_DELTA_TOKENS)) for choice in sorted(by_choice))
        self._deltas = [delta for rest in by_choice.values() for delta in rest]
        return tuple(outgoing)


def _first(waiting: list[T], num: int) -> list[T]:
    """Takes the first so many away."""
    taken = waiting[:num]
    del waiting[:num]
    return taken
