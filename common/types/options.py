"""What a configuration field is: its name, type, one line of help, and how a text becomes its value.

A configuration is a frozen dataclass whose fields carry `about(...)` as metadata; a field that is itself a dataclass is
a group, whose fields are options of the same level. Knows nothing about where values come from.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from common.types.device import parse_device
from common.types.errors import StartupError

TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class ConfigError(StartupError):
    """A setting is unknown, missing, or has no meaning."""


def about(
    help: str,
    value: str = "",
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    size: bool = False,
    address: bool = False,
    device: bool = False,
    secret: bool = False,
    positional: bool = False,
) -> dict[str, Any]:
    """Metadata of a field: its line of help, the name of its value in that line, and what it accepts."""
    return {
        "help": help,
        "value": value,
        "choices": choices,
        "least": least,
        "most": most,
        "size": size,
        "address": address,
        "device": device,
        "secret": secret,
        "positional": positional,
    }


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `group` names the field that holds it when it belongs to a nested dataclass, else it is empty."""

    name: str
    kind: type
    default: Any
    group: str = ""
    help: str = ""
    value: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    size: bool = False
    address: bool = False
    device: bool = False
    secret: bool = False
    positional: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "BATON_" + self.name.upper()

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def parse(self, raw: object, source: str) -> Any:
        """The value of a text (flag, variable) or of what TOML holds; `source` is named when it has none."""
        value = self._convert(raw, source)
        texts = value if isinstance(value, tuple) else (value,)
        for text in texts:
            if self.choices and text not in self.choices:
                raise ConfigError(f"{source} is {text!r}", f"Choose one of {', '.join(self.choices)}")
            if self.address and text and not is_address(str(text)):
                raise ConfigError(f"{source} is {text!r}", "Write it as HOST:PORT")
            if self.device and parse_device(str(text)) is None:
                raise ConfigError(f"{source} is {text!r}", "Choose cpu, cuda, or one device such as cuda:1")
        if self.least is not None and value < self.least:
            raise ConfigError(f"{source} is {value}", f"It must be at least {self.least:g}")
        if self.most is not None and value > self.most:
            raise ConfigError(f"{source} is {value}", f"It must be at most {self.most:g}")
        return value

    def _convert(self, raw: object, source: str) -> Any:
        if self.size and isinstance(raw, str):
            return parse_size(raw, source)
        if self.kind is tuple:
            return _texts(raw, source)
        if isinstance(raw, str) and self.kind is not str:
            return self._from_text(raw, source)
        if self.kind is float and isinstance(raw, int) and not isinstance(raw, bool):
            return float(raw)
        if type(raw) is not self.kind:
            raise ConfigError(f"{source} is {raw!r}", f"It must be {TYPE_NAMES[self.kind]}")
        return raw

    def _from_text(self, text: str, source: str) -> Any:
        try:
            return TRUTH[text.strip().lower()] if self.kind is bool else self.kind(text.strip())
        except (KeyError, ValueError):
            raise ConfigError(f"{source} is {text!r}", f"It must be {TYPE_NAMES[self.kind]}") from None


def options(cls: type) -> tuple[Option, ...]:
    """All settings of a configuration, groups flattened."""
    return tuple(_options(cls, ""))


def _options(cls: type, group: str) -> Iterator[Option]:
    hints = get_type_hints(cls)
    for field in fields(cls):
        kind = get_origin(hints[field.name]) or hints[field.name]
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _options(kind, field.name)
            continue
        if kind not in (*TYPE_NAMES, tuple) or (kind is tuple and get_args(hints[field.name]) != (str, ...)):
            raise TypeError(f"{cls.__name__}.{field.name}: no option can have this type")
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        yield Option(field.name, kind, default, group, **field.metadata)


def parse_size(text: str, source: str = "the size") -> int:
    """Bytes of "2GiB", "512 MiB", "1048576"; 0 for "auto"."""
    if text.strip().lower() == "auto":
        return 0
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in UNITS:
        raise ConfigError(f"{source} is {text!r}", "Write a size such as 512MiB or 2GiB, or auto")
    return int(float(match[1]) * UNITS[match[2].lower()])


def format_size(num_bytes: int) -> str:
    """The shortest exact text of a size that `parse_size` reads back."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if num_bytes and num_bytes % unit == 0:
            return f"{num_bytes // unit}{name}"
    return str(num_bytes) if num_bytes else "auto"


def is_address(text: str) -> bool:
    """HOST:PORT, with an IPv6 host in brackets."""
    host, _, port = text.rpartition(":")
    whole = host.startswith("[") and host.endswith("]") if ":" in host else bool(host)
    return whole and port.isascii() and port.isdigit() and int(port) < 65536


def _texts(raw: object, source: str) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if isinstance(raw, (list, tuple)) and all(isinstance(part, str) for part in raw):
        return tuple(raw)
    raise ConfigError(f"{source} is {raw!r}", 'It must be a list of texts, such as "a,b"')
