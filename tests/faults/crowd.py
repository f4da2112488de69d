"""Many clients at once, and what each of them has seen so far. Knows nothing of the fleet."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from baton.client import Client
from baton.client.prompts import Asking
from baton.client.results import Accepted, Delta, Done
from common.types.errors import BatonError
from common.types.sampling import FinishReason

DEADLINE_S = 40.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What one client asks for."""

    prompt: tuple[int, ...]
    asking: Asking


@dataclass(slots=True, eq=False)
class Stream:
    """One client's view: what came, in order, and how it ended."""

    wish: Wish
    accepted: bool = False
    token_ids: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    finishes: dict[int, FinishReason | None] = field(default_factory=dict)
    done: Done | None = None
    error: BatonError | None = None
    task: asyncio.Task[None] | None = None

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.token_ids.values()))

    @property
    def ended(self) -> bool:
        return self.done is not None or self.error is not None

    @property
    def outcome(self) -> tuple[object, ...]:
        """All that makes two answers the same."""
        return self.error, self.token_ids, self.texts, self.finishes

    def take(self, delta: Delta) -> None:
        self.token_ids.setdefault(delta.choice, []).extend(delta.token_ids)
        self.texts[delta.choice] = self.texts.get(delta.choice, "") + delta.text
        self.finishes[delta.choice] = delta.finish


class Crowd:
    """All streams at once, from entering to leaving; who is still there then goes away."""

    def __init__(self, target: str, wishes: Sequence[Wish], deadline_s: float = DEADLINE_S) -> None:
        self.streams = tuple(Stream(wish) for wish in wishes)
        self._target, self._deadline_s = target, deadline_s
        self._seen = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._client = await Client(self._target, deadline_s=self._deadline_s).__aenter__()
        for stream in self.streams:
            stream.task = asyncio.create_task(self._follow(stream))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [stream.task for stream in self.streams if stream.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    @property
    def num_tokens(self) -> int:
        return sum(stream.num_tokens for stream in self.streams)

    @property
    def num_wanted(self) -> int:
        return sum(stream.wish.asking["max_tokens"] for stream in self.streams)

    @property
    def ended(self) -> bool:
        return all(stream.ended for stream in self.streams)

    async def until(self, seen: Callable[[], bool]) -> None:
        """Returns as soon as this is so; looks whenever any stream brought something."""
        while not seen():
            if self.ended:
                raise AssertionError("all streams ended before it was seen")
            self._seen.clear()
            await self._seen.wait()

    async def finish(self) -> None:
        """Every stream has ended; that each does before its deadline is the client's own promise."""
        await asyncio.gather(*(stream.task for stream in self.streams if stream.task is not None))

    async def _follow(self, stream: Stream) -> None:
        try:
            async with aclosing(self._client.generate(stream.wish.prompt, **stream.wish.asking)) as events:
                async for event in events:
                    match event:
                        case Accepted():
                            stream.accepted = True
                        case Delta():
                            stream.take(event)
                        case Done():
                            stream.done = event
                    self._seen.set()
        except BatonError as error:
            stream.error = error
        self._seen.set()
