"""Who may call what, and how much of it: the keys of this router, their limits, and the one a call came with.

Keys come from a file that is read again when it changes, or are one that was made for this run. Knows nothing of the
fronts: they bring what was presented and the need of what is called.
"""

import hmac
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum

from common.types.config import RouterConfig
from common.types.errors import BatonError, Forbidden, Overloaded, StartupError, Unauthenticated
from common.types.keys import Key, digest_of, fleet_key
from router.key_source import KeySource, MadeKey, key_source
from router.rates import Bucket

RELOAD_S = 1.0
_NOBODY = Key("", bytes(32))
_log = logging.getLogger("baton.router.keys")
_caller: ContextVar["Caller | None"] = ContextVar("caller", default=None)


class Needs(Enum):
    """What a route or method asks of its caller."""

    NONE = "none"
    API = "api"
    ADMIN = "admin"
    FLEET = "fleet"
    """A member's place: the fleet's own key, which may also do what operators do."""


class KeyRing:
    """All keys of one router. Event loop only."""

    def __init__(self, source: KeySource, fleet_key: str) -> None:
        self._source = source
        self._fleet = Key("fleet", digest_of(fleet_key), admin=True)
        self._keys: dict[bytes, Key] = {}
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}
        self._looked_at = 0.0
        self.on_refused: Callable[[BatonError], None] = lambda error: None
        self._take(source.read())

    def authenticate(self, presented: str | None, needs: Needs, now: float) -> Key:
        """The key's entry; raises Unauthenticated, or Forbidden when it is sound and not enough."""
        self._refresh(now)
        digest = digest_of(presented or "")
        key = self._keys.get(digest) or (self._fleet if needs in (Needs.FLEET, Needs.ADMIN) else _NOBODY)
        # Looking a hash up says nothing of the key; that it is the same hash is found out in constant time.
        if not hmac.compare_digest(digest, key.digest) or not presented:
            raise Unauthenticated("no key came with the call" if not presented else "this key is not known")
        if (needs is Needs.FLEET and key is not self._fleet) or (needs is Needs.ADMIN and not key.admin):
            raise Forbidden("this takes the fleet's own key" if needs is Needs.FLEET else "this takes an admin key")
        return key

    def count_request(self, key: Key, now: float) -> None:
        """Raises Overloaded when the key made as many as it may."""
        if key.requests_per_min:
            bucket = self._bucket(self._requests, key.id, key.requests_per_min, now)
            if (wait_s := bucket.take(1, now)) is not None:
                text = f"this key's limit of {key.requests_per_min} requests a minute is reached"
                raise Overloaded(text, _ms(wait_s), "key_requests")

    def charge_tokens(self, key: Key, num_tokens: int, now: float) -> None:
        """What a request is expected to take; raises Overloaded when the key has used up its share."""
        if key.tokens_per_min:
            bucket = self._bucket(self._tokens, key.id, key.tokens_per_min, now)
            if (wait_s := bucket.take(num_tokens, now)) is not None:
                text = f"this key's limit of {key.tokens_per_min} tokens a minute is reached"
                raise Overloaded(text, _ms(wait_s), "key_tokens")

    def settle_tokens(self, key: Key, num_expected: int, num_used: int) -> None:
        """What it took in the end: the rest is given back, or what came on top is owed."""
        if key.id in self._tokens:
            self._tokens[key.id].give_back(num_expected - num_used)

    def _bucket(self, buckets: dict[str, Bucket], id: str, per_min: int, now: float) -> Bucket:
        bucket = buckets.get(id)
        if bucket is None or bucket.per_min != per_min:
            bucket = buckets[id] = Bucket(per_min, now)
        return bucket

    def _refresh(self, now: float) -> None:
        """Looks for a change at most once a second, and only when somebody calls."""
        if now - self._looked_at >= RELOAD_S:
            self._looked_at = now
            if (keys := self._source.changed()) is not None:
                self._take(keys)
                _log.info("keys read again", extra={"keys": len(keys)})

    def _take(self, keys: tuple[Key, ...]) -> None:
        self._keys = {key.digest: key for key in keys}
        ids = {key.id for key in keys}
        for buckets in (self._requests, self._tokens):
            for gone in buckets.keys() - ids:
                del buckets[gone]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a call: the key it came with, and where that key's limits are kept."""

    key: Key
    ring: KeyRing

    @property
    def id(self) -> str:
        return self.key.id

    @property
    def salt(self) -> bytes:
        return self.key.salt

    def charge(self, num_tokens: int, now: float) -> None:
        """Before any work; raises Overloaded."""
        self.ring.charge_tokens(self.key, num_tokens, now)

    def settle(self, num_expected: int, num_used: int) -> None:
        """After it."""
        self.ring.settle_tokens(self.key, num_expected, num_used)


@contextmanager
def let_in(ring: KeyRing, presented: str | None, needs: Needs) -> Iterator[None]:
    """Around a call: checks its key, counts it, and lets what is inside know its caller."""
    now = time.monotonic()
    try:
        key = ring.authenticate(presented, needs, now)
        ring.count_request(key, now)
    except BatonError as error:
        ring.on_refused(error)
        raise
    token = _caller.set(Caller(key, ring))
    try:
        yield
    finally:
        _caller.reset(token)


def caller() -> Caller | None:
    """Who made this call; None when keys are off."""
    return _caller.get()


def open_keys(config: RouterConfig, tell: Callable[[str], None]) -> KeyRing | None:
    """None when keys are off. One that is made for this run is told, once."""
    source = key_source(config)
    if source is None:
        return None
    if not config.cache_key:
        fix = "Set BATON_CACHE_KEY to the same secret for the router and every worker"
        raise StartupError("keys are on, and this fleet has no secret to know its workers by", fix)
    ring = KeyRing(source, fleet_key(config.cache_key))
    if isinstance(source, MadeKey):
        tell(f"others can reach this router, so that it takes a key, made for this run: {source.text}")
        tell("it is not shown again; `baton keys new ID` makes lasting ones, --keys names their file")
    return ring


def bearer(header: str) -> str | None:
    """The key in an `authorization` header."""
    scheme, _, key = header.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _ms(seconds: float) -> int:
    return max(50, round(1000 * seconds))
