"""The tcp transport's bytes after the hello: requests for blocks, and one frame per block back.

Owns formats and bounds; does no I/O. Lengths and counts are compared with what is known before anything is computed
from them.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.hello import Malformed

REQUEST = struct.Struct("<4sBxHII")
ENTRY = struct.Struct("<IQ")
FRAME = struct.Struct("<4sB3xQI4xQQ")
REQUEST_MAGIC = b"BKRQ"
FRAME_MAGIC = b"BKFR"
MAX_REQUEST_ID_BYTES = 256
MAX_ENTRIES = 4096
MAX_ATTEMPT = 2**32 - 1


class Kind(IntEnum):
    """What is asked for: blocks of a loan, or as many bytes of nothing, to measure the way."""

    BLOCKS = 1
    PROBE = 2


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The fixed part of a request, with its bounds checked; `num_bytes` of it follow."""

    kind: Kind
    id_bytes: int
    number: int
    num_entries: int

    @property
    def num_bytes(self) -> int:
        return self.id_bytes + (self.num_entries * ENTRY.size if self.kind is Kind.BLOCKS else 0)

    @staticmethod
    def unpack(data: bytes) -> "RequestHead":
        magic, kind, id_bytes, number, num_entries = REQUEST.unpack(data)
        if magic != REQUEST_MAGIC or kind not in set(Kind):
            raise Malformed("a request of another protocol")
        if id_bytes > MAX_REQUEST_ID_BYTES or not 0 < num_entries <= MAX_ENTRIES:
            raise Malformed("a request beyond its bounds")
        return RequestHead(Kind(kind), id_bytes, number, num_entries)

    def body(self, data: bytes) -> tuple[AttemptId, list[tuple[int, int]]]:
        """Whose blocks, and which: (block, generation) each."""
        try:
            id = data[: self.id_bytes].decode()
        except UnicodeDecodeError as error:
            raise Malformed("a request id that is not text") from error
        return AttemptId(id, self.number), list(ENTRY.iter_unpack(data[self.id_bytes :]))


def pack_request(attempt: AttemptId, pairs: Sequence[Pair]) -> bytes:
    id = attempt.request_id.encode()
    if len(id) > MAX_REQUEST_ID_BYTES or not 0 <= attempt.number <= MAX_ATTEMPT:
        raise ValueError("an attempt's id is longer than the transport carries")
    head = REQUEST.pack(REQUEST_MAGIC, Kind.BLOCKS, len(id), attempt.number, len(pairs))
    return head + id + b"".join(ENTRY.pack(pair.source.block, pair.source.generation) for pair in pairs)


def pack_probe(num_blocks: int) -> bytes:
    return REQUEST.pack(REQUEST_MAGIC, Kind.PROBE, 0, 0, num_blocks)


def attempt_key(attempt: AttemptId) -> int:
    """Names an attempt on every frame."""
    return int.from_bytes(hashlib.blake2b(str(attempt).encode(), digest_size=8).digest(), "little")


def pack_frame(key: int, block: int, generation: int, num_bytes: int, status: int = 0) -> bytes:
    """What stands before a block's bytes; with a status other than 0 it is a refusal, and no bytes follow."""
    return FRAME.pack(FRAME_MAGIC, status, key, block, generation, 0 if status else num_bytes)


def frame_status(data: bytes | bytearray, key: int, block: int, generation: int, num_bytes: int) -> int:
    """0 when exactly the expected block follows, the refusal's number when it does not; anything else is malformed."""
    magic, status, *rest = FRAME.unpack(data)
    if magic != FRAME_MAGIC or rest != [key, block, generation, 0 if status else num_bytes]:
        raise Malformed("a frame that was not asked for")
    return int(status)
