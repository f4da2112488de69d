"""Prefix hashes: one chain per (cache key, tenant salt, model), the same function in workers and in the router.

A keyed hash, so that a tenant who knows the code still cannot predict or probe another tenant's blocks.
"""

import hashlib
from array import array
from collections.abc import Sequence

HASH_BYTES = 16


def root_hash(key: bytes, salt: bytes, model_fingerprint: str) -> bytes:
    """The parent of a sequence's first block."""
    hasher = hashlib.blake2b(digest_size=HASH_BYTES, key=key[:64])
    hasher.update(len(salt).to_bytes(4, "little") + salt + model_fingerprint.encode())
    return hasher.digest()


def block_hash(key: bytes, parent: bytes, token_ids: Sequence[int]) -> bytes:
    """The name of one full block: everything before it (`parent`) and its own tokens."""
    hasher = hashlib.blake2b(parent, digest_size=HASH_BYTES, key=key[:64])
    hasher.update(array("i", token_ids).tobytes())
    return hasher.digest()


def chain(key: bytes, root: bytes, token_ids: Sequence[int], block_tokens: int) -> list[bytes]:
    """Hashes of all full blocks of a sequence, in order."""
    hashes = []
    parent = root
    for start in range(0, len(token_ids) - block_tokens + 1, block_tokens):
        parent = block_hash(key, parent, token_ids[start : start + block_tokens])
        hashes.append(parent)
    return hashes


def wire_hash(digest: bytes) -> int:
    """What the fleet's wire carries: a hint for routing, never proof of content."""
    return int.from_bytes(digest[:8], "little")


def key_id(key: bytes) -> str:
    """Names a key without revealing it."""
    return hashlib.blake2b(b"baton cache key id", digest_size=8, key=key[:64]).hexdigest()
