"""How a process calls others of its fleet: with what it shows them. Owns neither the channels nor their peers."""

from dataclasses import dataclass, field

import grpc

from common.net.channel import open_channel


@dataclass(frozen=True, slots=True)
class Dial:
    """The same for every call of one process."""

    key: str = field(default="", repr=False)

    def open(self, address: str) -> grpc.aio.Channel:
        """A channel of one's own; the caller closes it."""
        return open_channel(address)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries that asks for a key."""
        return authorization(self.key)


def authorization(key: str) -> tuple[tuple[str, str], ...]:
    """The key as metadata; none without one."""
    return (("authorization", f"Bearer {key}"),) if key else ()
