"""The fleet as this router sees it: who is a member, who is gone, and who waits to hear of it.

Event loop only; knows nothing of gRPC and sets no timers: the Join service calls `join`, `report` and `leave`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from common.types.errors import InvalidRequest, NotFound, PeerLost, Violation
from common.types.hashing import key_id
from common.types.ids import PROTOCOL_MAJOR, Role
from common.types.member import Hello, Load
from router.membership import DrainCommand, Membership, OnLost, Placement, Placements, ResumeCommand, Sent
from router.policy.snapshot import Member, Need, Snapshot
from router.prefix import PromptHashes


@dataclass(frozen=True, slots=True)
class Served:
    """What this router serves: workers must serve exactly this."""

    model: str
    fingerprint: str
    cache_key: bytes = b""


class FleetView:
    """Members by name. A member with an equal name and another epoch is a new process: the old one is gone."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self._key_id = key_id(served.cache_key)
        self._members: dict[str, Membership] = {}
        self._changed = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []

    def join(self, hello: Hello, now: float) -> Membership:
        """Raises InvalidRequest, naming what does not match."""
        self._check(hello)
        membership = Membership(hello, now)
        before = self._members.get(hello.member)
        self._members[hello.member] = membership
        if before is not None:
            if before.hello.epoch == hello.epoch:
                membership.placements, before.placements = before.placements, Placements()
                membership.told_to_drain = before.told_to_drain
            before.lose("a new process of this name joined")
        self._announce()
        return membership

    def report(self, membership: Membership, load: Load, now: float) -> None:
        before = membership.draining, membership.doubted
        membership.report(load, now)
        if (membership.draining, membership.doubted) != before:
            self._announce()

    def doubt(self, hello: Hello) -> None:
        """The way to this process broke: nothing is sent there until it is heard of again, or gone. Were it tried once
        more at once, a request could lose all its attempts to a process that ended a moment ago.
        """
        membership = self._members.get(hello.member)
        if membership is not None and membership.hello.epoch == hello.epoch and not membership.doubted:
            membership.doubted = True
            self._announce()

    def leave(self, membership: Membership, detail: str) -> None:
        """The member is gone; every attempt there hears of it at once. Repeating it changes nothing."""
        if self._members.get(membership.hello.member) is membership:
            del self._members[membership.hello.member]
            membership.lose(detail)
            self._announce()

    def close(self) -> None:
        """This router leaves: so does everyone, as it sees it."""
        for membership in self.members():
            self.leave(membership, "the router is leaving")

    def drain(self, name: str, *, leave: bool) -> None:
        membership = self._find(name)
        membership.told_to_drain = True
        membership.commands.put_nowait(DrainCommand(leave))
        self._announce()

    def resume(self, name: str) -> None:
        membership = self._find(name)
        membership.told_to_drain = False
        membership.commands.put_nowait(ResumeCommand())
        self._announce()

    def members(self) -> tuple[Membership, ...]:
        """By name, for operators."""
        return tuple(self._members[name] for name in sorted(self._members))

    def snapshot(self, prompt: PromptHashes | None = None, now: float | None = None) -> Snapshot:
        """Without a time, nothing is taken to be done of prompts that are being computed."""
        return Snapshot(
            tuple(
                membership.freeze(prompt if membership.hello.cache_key_id == self._key_id else None, now)
                for membership in self._members.values()
            )
        )

    def hashes_of(self, token_ids: tuple[int, ...], salt: bytes) -> PromptHashes:
        return PromptHashes(self.served.cache_key, salt, self.served.fingerprint, token_ids)

    def has_decode(self) -> bool:
        """Whether any member takes new sequences; cheaper than a snapshot."""
        return any(each.hello.role is Role.DECODE and each.takes_work for each in self._members.values())

    def why_no_decode(self) -> str:
        """When no member takes new sequences."""
        decode = [each for each in self._members.values() if each.hello.role is Role.DECODE]
        if any(not each.draining for each in decode):
            return "no decode member can be reached now"
        return "every decode member is draining" if decode else "no decode member is up"

    def place(self, member: Member, need: Need, now: float, on_lost: OnLost, *, computes: bool) -> Placement:
        """Counts an attempt on a member until the placement is closed; raises PeerLost when it is gone already.

        `computes` says whether the member computes the common part, or fetches its KV.
        """
        membership = self._members.get(member.name)
        if membership is None or membership.hello.epoch != member.hello.epoch:
            raise PeerLost(member.hello.role.value, member.name, "it left before the attempt was sent")
        decode = member.hello.role is Role.DECODE
        sent = Sent(
            at=now,
            num_tokens=member.uncached_tokens(need.num_tokens) if computes else need.num_tail_tokens,
            num_blocks=need.blocks(member.hello.block_tokens) if decode else 0,
            num_sequences=need.num_choices if decode else 0,
        )
        return membership.place(on_lost, sent)

    async def changed(self) -> None:
        """Returns at the next join, leave, drain or resume."""
        await self._changed.wait()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Called after every join, leave, drain and resume."""
        self._watchers.append(on_change)

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for on_change in self._watchers:
            on_change()

    def _find(self, name: str) -> Membership:
        membership = self._members.get(name)
        if membership is None:
            raise NotFound("member", name, tuple(sorted(self._members)))
        return membership

    def _check(self, hello: Hello) -> None:
        wrong = []
        if hello.protocol != PROTOCOL_MAJOR:
            text = f"is {hello.protocol}, this router speaks {PROTOCOL_MAJOR}"
            wrong.append(Violation("hello.protocol", text))
        if hello.model != self.served.model:
            wrong.append(Violation("hello.model", f"is {hello.model!r}, this router serves {self.served.model!r}"))
        if hello.model_fingerprint != self.served.fingerprint:
            text = "the model's files differ from those of this router"
            wrong.append(Violation("hello.model_fingerprint", text))
        staying = [peer for name, peer in self._members.items() if name != hello.member and not peer.draining]
        if staying and all(peer.hello.layout != hello.layout for peer in staying):
            text = "no member that stays has this KV layout (dtype, tokens per block); drain the others first"
            wrong.append(Violation("hello.layout_fingerprint", text))
        if wrong:
            raise InvalidRequest(*wrong)
