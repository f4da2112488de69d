"""`baton keys`: makes, lists and removes clients' keys. A key is printed once; its file keeps a hash."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from baton.cli.table import table
from common.types.config_keys import KeysConfig
from common.types.errors import StartupError
from common.types.keys import BadKeyLine, Key, check_id, digest_of, line_of, new_key, parse_keys
from common.types.options import ConfigError
from common.types.resolve import load

HEAD = ("id", "may", "requests/min", "tokens/min", "tenant")
MODE = 0o600


def run(argv: Sequence[str]) -> int:
    config = load(KeysConfig, "baton keys", argv)
    if config.action != "list" and not check_id(config.id):
        raise ConfigError(
            f"There is no id to {'make a key for' if config.action == 'new' else config.action}",
            f"Letters, digits, dots and dashes: baton keys {config.action} ID",
        )
    path = Path(config.keys)
    lines = _read(path, may_lack=config.action == "new")
    keys = _parse(path, lines)
    if config.action == "new":
        _new(config, path, lines, keys)
    elif config.action == "remove":
        _remove(config, path, lines, keys)
    else:
        print(table(HEAD, [_row(key) for key in keys]) if keys else "there are no keys")
    return 0


def _new(config: KeysConfig, path: Path, lines: list[str], keys: Sequence[Key]) -> None:
    if any(key.id == config.id for key in keys):
        raise ConfigError(f"{config.id} has a key already", f"Choose another id, or baton keys remove {config.id}")
    if config.tenant and not check_id(config.tenant):
        raise ConfigError(f"{config.tenant} is no name of a tenant", "Use letters, digits, dots and dashes")
    text = new_key()
    made = Key(config.id, digest_of(text), config.admin, config.requests_per_min, config.tokens_per_min, config.tenant)
    _write(path, [*lines, line_of(made)])
    print(text)
    print(f"{config.id}'s key, shown this once; {path} keeps its hash", file=sys.stderr)


def _remove(config: KeysConfig, path: Path, lines: list[str], keys: Sequence[Key]) -> None:
    if all(key.id != config.id for key in keys):
        raise ConfigError(f"{config.id} has no key in {path}", "See baton keys list")
    _write(path, [line for line in lines if line.split("#", 1)[0].split()[:1] != [config.id]])
    print(f"{config.id}'s key is no longer taken")


def _row(key: Key) -> tuple[str, ...]:
    limits = [str(limit) if limit else "-" for limit in (key.requests_per_min, key.tokens_per_min)]
    return (key.id, "all" if key.admin else "ask", *limits, key.tenant or key.id)


def _read(path: Path, *, may_lack: bool) -> list[str]:
    return [] if may_lack and not path.exists() else path.read_text().splitlines()


def _parse(path: Path, lines: list[str]) -> tuple[Key, ...]:
    try:
        return parse_keys("\n".join(lines))
    except BadKeyLine as error:
        raise StartupError(f"the keys in {path} cannot be used: {error}", "Correct that line") from error


def _write(path: Path, lines: list[str]) -> None:
    """All or nothing: a router may read it at any moment. Only its owner may."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
