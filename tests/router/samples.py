"""Members, needs and attempts with everything filled in, so that a test names only what it is about."""

from dataclasses import replace
from typing import Any

from common.types.hashing import key_id
from common.types.ids import PROTOCOL_MAJOR, Role
from common.types.member import Hello, Load
from router.policy.snapshot import Member, Need, Snapshot

KEY = b"k"
FINGERPRINT = "f00d"


def hello(name: str = "p0", role: Role = Role.PREFILL, **changes: Any) -> Hello:
    made = Hello(
        member=name,
        role=role,
        address="127.0.0.1:1",
        epoch=1,
        model="tiny",
        model_fingerprint=FINGERPRINT,
        layout="layout-a",
        protocol=PROTOCOL_MAJOR,
        block_tokens=4,
        block_bytes=4096,
        num_blocks=256,
        max_sequences=8,
        max_model_tokens=512,
        transports=("shm",),
        cache_key_id=key_id(KEY),
    )
    return replace(made, **changes)


def load(**changes: Any) -> Load:
    return replace(Load(num_free_blocks=256), **changes)


def prefill(name: str = "p0", *, layout: str = "layout-a", **changes: Any) -> Member:
    return replace(Member(hello(name, layout=layout), load()), **changes)


def decode(name: str = "d0", *, layout: str = "layout-a", **changes: Any) -> Member:
    return replace(Member(hello(name, Role.DECODE, layout=layout), load()), **changes)


def snapshot(*members: Member) -> Snapshot:
    return Snapshot(members)


def need(num_tokens: int = 100, **changes: Any) -> Need:
    return replace(Need(num_tokens), **changes)
