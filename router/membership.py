"""One live worker, as this router knows it: its reports, what was sent to it, and which attempts depend on it.

Event loop only. Knows nothing of streams; who reads and writes them tells it what arrived and asks it what to send.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from common.types.errors import PeerLost
from common.types.member import Hello, Load
from router.policy.backlog import REPORT_LAG_S, Backlog
from router.policy.snapshot import Member
from router.prefix import PromptHashes

OnLost = Callable[[PeerLost], None]


@dataclass(frozen=True, slots=True)
class DrainCommand:
    """To the worker: take nothing new."""

    leave: bool


@dataclass(frozen=True, slots=True)
class ResumeCommand:
    """To the worker: take work again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Work given to the member. Blocks and sequences count until a report can have seen them, prompt tokens until they
    are computed.
    """

    at: float
    num_tokens: int
    num_blocks: int
    num_sequences: int


class Placement:
    """One attempt on one member; `close` is called once it no longer depends on it."""

    def __init__(self, among: "Placements", on_lost: OnLost) -> None:
        self._among, self.on_lost = among, on_lost

    def computed(self, now: float) -> None:
        """Its prompt is no backlog any more. Repeating it changes nothing."""
        self._among.backlog.end(self, now)

    def close(self) -> None:
        self._among.discard(self)


class Placements:
    """The attempts on one process; handed on when the process opens its Join stream again."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self._all: set[Placement] = set()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, on_lost: OnLost, num_tokens: int, now: float) -> Placement:
        placement = Placement(self, on_lost)
        self._all.add(placement)
        self.backlog.add(placement, num_tokens, now)
        self._emptied.clear()
        return placement

    def discard(self, placement: Placement) -> None:
        self._all.discard(placement)
        self.backlog.end(placement)
        if not self._all:
            self._emptied.set()

    def lose(self, error: PeerLost) -> None:
        """Tells every attempt."""
        self.backlog = Backlog()
        while self._all:
            placement = self._all.pop()
            placement.on_lost(error)
        self._emptied.set()

    async def emptied(self) -> None:
        """Returns once no attempt is left."""
        await self._emptied.wait()


class Membership:
    """The life of one member on one Join stream."""

    def __init__(self, hello: Hello, now: float) -> None:
        self.hello = hello
        self.load = Load()
        self.reported_at = now
        self.hashes: set[int] = set()
        self.placements = Placements()
        self.commands: asyncio.Queue[DrainCommand | ResumeCommand | None] = asyncio.Queue()
        self.lost: str | None = None
        self.told_to_drain = False
        self.doubted = False
        """The way to it broke; the next report shows that it lives."""
        self._sent: list[Sent] = []
        self._known_tokens = 0

    @property
    def draining(self) -> bool:
        """By an operator's wish, or by its own."""
        return self.told_to_drain or self.load.draining or self.load.drained

    @property
    def takes_work(self) -> bool:
        return not (self.draining or self.doubted)

    def report(self, load: Load, now: float) -> None:
        self.load = load
        self.reported_at = now
        self.doubted = False
        self._sent = [sent for sent in self._sent if now - sent.at < REPORT_LAG_S]
        self._known_tokens = self.placements.backlog.reportable_tokens(now)
        self.hashes.difference_update(load.removed_hashes)
        room = max(0, self.hello.num_blocks - len(self.hashes))
        self.hashes.update(load.added_hashes[:room])

    def place(self, on_lost: OnLost, sent: Sent) -> Placement:
        """Counts work on its way there; `on_lost` is called once when the member is gone."""
        self._sent.append(sent)
        return self.placements.add(on_lost, sent.num_tokens, sent.at)

    def lose(self, detail: str) -> None:
        """Tells every attempt here; None wakes whoever waits for commands."""
        self.lost = detail
        self.commands.put_nowait(None)
        self.placements.lose(PeerLost(self.hello.role.value, self.hello.member, detail))

    def freeze(self, prompt: PromptHashes | None, now: float | None = None) -> Member:
        """As a policy sees it, for one prompt."""
        outstanding = self.placements.backlog.outstanding(now)
        num_cached = prompt.num_cached_tokens(self.hashes, self.hello.block_tokens) if prompt else 0
        return Member(
            hello=self.hello,
            load=self.load,
            draining=not self.takes_work,
            num_attempts=len(self.placements),
            sent_tokens=outstanding.num_tokens,
            head_tokens=outstanding.head_tokens,
            head_s=outstanding.head_s,
            known_tokens=self._known_tokens,
            sent_blocks=sum(sent.num_blocks for sent in self._sent),
            sent_sequences=sum(sent.num_sequences for sent in self._sent),
            num_cached_tokens=num_cached,
        )
