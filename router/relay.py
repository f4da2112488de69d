"""Between a request's tokens and its client: text per choice, and a bounded buffer that a slow reader drains in gulps.

A reader that keeps up gets every token as it comes; one that does not gets all that came meanwhile in one message per
choice. Knows nothing of gRPC and nothing of attempts: what is delivered here was accepted.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

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


@dataclass(slots=True)
class _Pending:
    """What waits to be read."""

    deltas: dict[int, list[Delta]] = field(default_factory=dict)
    scores: list[TokenLogprobs] = field(default_factory=list)
    num_tokens: int = 0


class Relay:
    """`deliver`, `score`, `close` and `fail` on one side, `next` on the other; one event loop."""

    def __init__(self, answers: Mapping[int, Answer]) -> None:
        self._answers = answers
        self._pending = _Pending()
        self._reader: asyncio.Future[None] | None = None
        self._closed = False
        self._error: Exception | None = None

    @property
    def overflows(self) -> bool:
        """More waits than may; the reader should be cut."""
        return self._pending.num_tokens + len(self._pending.scores) > MAX_PENDING_TOKENS

    def deliver(self, token: SampledToken) -> bool:
        """Whether a stop string ended the choice, which the worker cannot know."""
        delta, pending = self._answers[token.choice].add(token), self._pending
        if token.choice in pending.deltas:
            pending.deltas[token.choice].append(delta)
        else:
            pending.deltas[token.choice] = [delta]
        pending.num_tokens += 1
        self._wake()
        return delta.finish is not None and token.finish is None

    def score(self, tokens: tuple[TokenLogprobs, ...]) -> None:
        self._pending.scores.extend(tokens)
        self._wake()

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
            if self._pending.num_tokens or self._pending.scores:
                return self._take()
            if self._error is not None:
                raise self._error
            if self._closed:
                return ()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _take(self) -> tuple[Outgoing, ...]:
        pending = self._pending
        if pending.num_tokens == 1 and not pending.scores:
            pending.num_tokens = 0
            return tuple(pending.deltas.popitem()[1])
        outgoing: list[Outgoing] = []
        if pending.scores:
            outgoing.append(Scores(tuple(_first(pending.scores, MAX_SCORES))))
        for choice in sorted(pending.deltas):
            deltas = _first(pending.deltas[choice], MAX_DELTA_TOKENS)
            pending.num_tokens -= len(deltas)
            if not pending.deltas[choice]:
                del pending.deltas[choice]
            outgoing.append(joined(deltas))
        return tuple(outgoing)


def _first(waiting: list[T], num: int) -> list[T]:
    """Takes the first so many away."""
    taken = waiting[:num]
    del waiting[:num]
    return taken
