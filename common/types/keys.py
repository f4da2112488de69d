"""Keys of a router's clients: how one looks, how it is kept, and the file that lists them. Pure text.

A key is shown once, when it is made; what is kept is its hash. It holds 256 random bits, so that a fast hash is enough:
there is nothing to guess. A line of the file is `id hash option...`; what follows a # is a remark.

    alice sha256:9f86... requests=600 tokens=200000
    grafana sha256:60303a... admin
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

PREFIX = "baton-"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_NUMBER = re.compile(r"[1-9][0-9]{0,11}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one. Rates are per minute, 0 is no limit. Keys of one tenant share prefix caches."""

    id: str
    digest: bytes
    admin: bool = False
    requests_per_min: int = 0
    tokens_per_min: int = 0
    tenant: str = ""

    @property
    def salt(self) -> bytes:
        """Of its tenant's prefix hashes."""
        return hashlib.blake2b((self.tenant or self.id).encode(), digest_size=16, person=b"baton tenant").digest()


class BadKeyLine(ValueError):
    """A line of a key file means nothing. `number` counts from 1."""

    def __init__(self, number: int, why: str) -> None:
        self.number, self.why = number, why
        super().__init__(f"line {number}: {why}")


def new_key() -> str:
    """A fresh key, as its holder will send it."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def fleet_key(cache_key: str) -> str:
    """What members of a fleet show each other: made from the secret they share, and not telling it."""
    return "fleet-" + hmac.new(cache_key.encode(), b"baton fleet key", hashlib.sha256).hexdigest()


def line_of(key: Key) -> str:
    """The key's line in the file, without its end."""
    words = [key.id, f"sha256:{key.digest.hex()}"]
    words += ["admin"] if key.admin else []
    words += [f"requests={key.requests_per_min}"] if key.requests_per_min else []
    words += [f"tokens={key.tokens_per_min}"] if key.tokens_per_min else []
    words += [f"tenant={key.tenant}"] if key.tenant else []
    return " ".join(words)


def parse_keys(text: str) -> tuple[Key, ...]:
    """Raises BadKeyLine for the first line that means nothing, or names an id or a key a second time."""
    found: list[Key] = []
    for number, line in _lines(text):
        key = _parse(number, line.split())
        if any(key.id == other.id for other in found):
            raise BadKeyLine(number, f"{key.id} is there already")
        if any(key.digest == other.digest for other in found):
            raise BadKeyLine(number, f"{key.id} is the same key as one above")
        found.append(key)
    return tuple(found)


def check_id(id: str) -> bool:
    """Whether it can name a key or a tenant."""
    return _ID.fullmatch(id) is not None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if stripped := line.split("#", 1)[0].strip():
            yield number, stripped


def _parse(number: int, words: list[str]) -> Key:
    id, digest, options = words[0], _HASH.fullmatch(words[1]) if len(words) > 1 else None, words[2:]
    if not check_id(id):
        raise BadKeyLine(number, "begins with no id of letters, digits, dots and dashes")
    if digest is None:
        raise BadKeyLine(number, f"{id} has no hash of the form sha256:HEX")
    values = dict(option.partition("=")[::2] for option in options)
    if len(values) < len(options) or values.keys() - {"admin", "requests", "tokens", "tenant"}:
        raise BadKeyLine(
            number, f"{id} has an option that is not admin, requests=N, tokens=N or tenant=NAME, or one twice"
        )
    for name in ("requests", "tokens"):
        if name in values and not _NUMBER.fullmatch(values[name]):
            raise BadKeyLine(number, f"{id}: {name} is no whole number above 0")
    if ("admin" in values and "admin" not in options) or ("tenant" in values and not check_id(values["tenant"])):
        raise BadKeyLine(number, f"{id}: admin takes no value, and tenant a name like an id")
    return Key(
        id=id,
        digest=bytes.fromhex(digest[1]),
        admin="admin" in values,
        requests_per_min=int(values.get("requests", 0)),
        tokens_per_min=int(values.get("tokens", 0)),
        tenant=values.get("tenant", ""),
    )
