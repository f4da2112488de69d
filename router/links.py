"""Channels to members: one per process, opened on first use, closed when the member is gone. Knows no services."""

import grpc

from common.net.background import Background
from common.net.dial import Dial
from common.types.member import Hello

Peer = tuple[str, int]
"""Address and epoch: a restarted worker never inherits its predecessor's connection."""


class Links:
    """Owns the channels; whoever uses one must not close it."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._channels: dict[Peer, grpc.aio.Channel] = {}
        self._closing = Background()

    def to(self, member: Hello) -> grpc.aio.Channel:
        peer = (member.address, member.epoch)
        channel = self._channels.get(peer)
        if channel is None:
            channel = self._channels[peer] = self._dial.open(member.address, member.role.value)
        return channel

    def keep(self, alive: frozenset[Peer]) -> None:
        """Closes every channel to a peer that is not among these."""
        for gone in self._channels.keys() - alive:
            self._closing.spawn(self._channels.pop(gone).close(None))

    async def close(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close(None)
        await self._closing.close()
