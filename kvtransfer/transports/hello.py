"""The first bytes on every connection between two workers: who I am, my ticket, my layout; and the answer.

Owns the handshake's format, its refusals and the tickets; does no I/O.
"""

import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"BATON-KV"
VERSION = 2
HELLO = struct.Struct("<8sHHIQQQ16s32s")
WELCOME = struct.Struct("<8sHHIQQH6x")


class Refusal(IntEnum):
    """Why a lender does not serve; the number is what travels."""

    VERSION = 1
    TICKET = 2
    EPOCH = 3
    LAYOUT = 4
    BUSY = 5
    NOT_LENT = 6
    RANGE = 7
    MALFORMED = 8


REFUSALS = {
    Refusal.VERSION: "the lender speaks another version of the transfer protocol",
    Refusal.TICKET: "the lender does not accept this ticket",
    Refusal.EPOCH: "the lender was restarted",
    Refusal.LAYOUT: "the lender's blocks are laid out differently",
    Refusal.BUSY: "the lender has too many connections",
    Refusal.NOT_LENT: "the lender does not lend this block to this attempt",
    Refusal.RANGE: "the block is outside the lender's pool",
    Refusal.MALFORMED: "the lender could not read the request",
}


def refusal_text(status: int) -> str:
    """The fixed text for a status that a peer sent, whatever number it is."""
    return REFUSALS[Refusal(status)] if status in set(Refusal) else "the lender refused for an unknown reason"


class Malformed(Exception):
    """Bytes that are not of this protocol."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A fetcher introduces itself."""

    lender_epoch: int
    fetcher_epoch: int
    layout: str
    block_bytes: int
    ticket: bytes

    def pack(self) -> bytes:
        return HELLO.pack(
            MAGIC,
            VERSION,
            0,
            0,
            self.lender_epoch,
            self.fetcher_epoch,
            self.block_bytes,
            _digest(self.layout),
            self.ticket,
        )


@dataclass(frozen=True, slots=True)
class Welcome:
    """A lender's answer; anything but status 0 is a refusal and says nothing else.

    `digest` names the way its blocks are summed up (`digests.py`).
    """

    status: int
    num_blocks: int = 0
    block_bytes: int = 0
    epoch: int = 0
    digest: int = 0

    def pack(self) -> bytes:
        return WELCOME.pack(MAGIC, VERSION, self.status, self.num_blocks, self.block_bytes, self.epoch, self.digest)

    @staticmethod
    def unpack(data: bytes) -> "Welcome":
        if len(data) != WELCOME.size:
            raise Malformed("an answer of another length")
        magic, version, status, num_blocks, block_bytes, epoch, digest = WELCOME.unpack(data)
        if magic != MAGIC or (version != VERSION and not status):
            raise Malformed("an answer of another protocol")
        return Welcome(status, num_blocks, block_bytes, epoch, digest)


class Doorkeeper:
    """Hands out tickets and checks hellos for one lender. A ticket is a MAC over both processes' epochs."""

    def __init__(self, epoch: int, layout: str, num_blocks: int, block_bytes: int, digest: int = 0) -> None:
        self._epoch = epoch
        self._layout = _digest(layout)
        self._num_blocks = num_blocks
        self._block_bytes = block_bytes
        self._digest = digest
        self._secret = secrets.token_bytes(32)

    def ticket(self, fetcher_epoch: int) -> bytes:
        message = b"baton kv ticket" + struct.pack("<QQ", self._epoch, fetcher_epoch)
        return hmac.digest(self._secret, message, "sha256")

    def admit(self, data: bytes) -> Welcome:
        """The answer to a hello. The ticket is checked first: a stranger learns nothing of epochs and layouts."""
        if len(data) != HELLO.size:
            return Welcome(Refusal.MALFORMED)
        magic, version, _, _, lender_epoch, fetcher_epoch, block_bytes, layout, ticket = HELLO.unpack(data)
        if magic != MAGIC:
            return Welcome(Refusal.MALFORMED)
        if version != VERSION:
            return Welcome(Refusal.VERSION)
        if not hmac.compare_digest(ticket, self.ticket(fetcher_epoch)):
            return Welcome(Refusal.TICKET)
        if lender_epoch != self._epoch:
            return Welcome(Refusal.EPOCH)
        if layout != self._layout or block_bytes != self._block_bytes:
            return Welcome(Refusal.LAYOUT)
        return Welcome(0, self._num_blocks, self._block_bytes, self._epoch, self._digest)


def _digest(layout: str) -> bytes:
    return hashlib.blake2b(layout.encode(), digest_size=16).digest()
