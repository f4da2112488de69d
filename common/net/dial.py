"""How a process calls others of its fleet: with what it shows them. Owns neither the channels nor their peers."""

from dataclasses import dataclass, field

import grpc

from common.net.channel import open_channel
from common.net.peers import fleet_files, host_of
from common.net.tls import TlsFiles
from common.types.keys import fleet_key


@dataclass(frozen=True, slots=True)
class Dial:
    """The same for every call of one process."""

    key: str = field(default="", repr=False)
    tls: TlsFiles | None = None

    @classmethod
    def of(cls, cache_key: str, fleet_tls: str, role: str) -> "Dial":
        """As a process of this role does it; without a secret or a folder it shows nothing."""
        return cls(
            fleet_key(cache_key) if cache_key else "",
            fleet_files(fleet_tls, role) if fleet_tls else None,
        )

    def open(self, address: str, role: str) -> grpc.aio.Channel:
        """A channel of one's own to a process of that role; the caller closes it."""
        if self.tls is None:
            return open_channel(address)
        return open_channel(address, credentials=self.tls.channel_credentials(), host=host_of(role))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries that asks for a key."""
        return authorization(self.key)


def authorization(key: str) -> tuple[tuple[str, str], ...]:
    """The key as metadata; none without one."""
    return (("authorization", f"Bearer {key}"),) if key else ()
