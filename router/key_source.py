"""Where a router's keys come from: a file that may change while it runs, or one key made for this run.

A file that became unreadable or wrong changes nothing: the keys it held last stay in force, and the log says why.
"""

import logging
import os
from pathlib import Path
from typing import Protocol

from common.net.server import is_local
from common.types.config import RouterConfig
from common.types.errors import StartupError
from common.types.keys import BadKeyLine, Key, digest_of, new_key, parse_keys

OFF = "off"
_log = logging.getLogger("baton.router.keys")


class KeySource(Protocol):
    """Gives all keys, and says when they have become others."""

    def read(self) -> tuple[Key, ...]: ...

    def changed(self) -> tuple[Key, ...] | None: ...


class MadeKey:
    """One key for one run, which may do everything. `text` is shown once and kept nowhere."""

    def __init__(self) -> None:
        self.text = new_key()
        self._key = Key("made-at-start", digest_of(self.text), admin=True)

    def read(self) -> tuple[Key, ...]:
        return (self._key,)

    def changed(self) -> None:
        return None


class KeyFile:
    """A file of keys; see `common/types/keys.py` for its lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> tuple[Key, ...]:
        """Raises StartupError when it cannot be used."""
        try:
            self._seen = self._stamp()
            return parse_keys(self._path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            fix = "Check --keys; `baton keys new ID` makes the file and its first key"
            raise StartupError(f"the keys in {self._path} cannot be read: {why}", fix) from error
        except BadKeyLine as error:
            raise StartupError(f"the keys in {self._path} cannot be used: {error}", "Correct that line") from error

    def changed(self) -> tuple[Key, ...] | None:
        """All keys, if the file is another than at the last look."""
        try:
            stamp = self._stamp()
        except OSError:
            stamp = (0, 0, 0)
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            return self.read()
        except StartupError as error:
            self._seen = stamp
            _log.warning("keys not read again", extra={"reason": error.cause})
            return None

    def _stamp(self) -> tuple[int, int, int]:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size, found.st_ino


def key_source(config: RouterConfig) -> KeySource | None:
    """None when no key is asked for: nobody else can reach this router, or its operator said so."""
    if config.access.keys == OFF:
        return None
    if config.access.keys:
        return KeyFile(Path(config.access.keys))
    open_to_others = [address for address in (config.grpc, config.http) if address and not is_local(address)]
    return MadeKey() if open_to_others else None
