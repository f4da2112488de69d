"""Typed reading of a model folder's JSON files. Whatever is missing or malformed is a `ModelError` naming the field.

Knows nothing of what the fields mean.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.types.errors import ModelError

MAX_JSON_BYTES = 64 << 20
REPLACE_FILE = "Download the model again, or correct the file."


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and the name it is known by in messages."""

    values: Mapping[str, Any]
    name: str

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key)

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if not value.is_integer():
            raise ModelError(f"{self.name}: {key!r} is {value!r}, not a whole number", REPLACE_FILE)
        return int(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self.values.get(key)
        if value is None:
            value = default
        if value is None:
            raise ModelError(f"{self.name} has no {key!r}", REPLACE_FILE)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e18:
            raise ModelError(f"{self.name}: {key!r} is {value!r}, not a number above 0", REPLACE_FILE)
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ModelError(f"{self.name}: {key!r} is {value!r}, not true or false", REPLACE_FILE)
        return value

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise ModelError(f"{self.name}: {key!r} is {value!r}, not a text", REPLACE_FILE)
        return value

    def token_ids(self, key: str) -> tuple[int, ...]:
        """A token id, or a list of them, or nothing."""
        value = self.values.get(key)
        ids = [] if value is None else value if isinstance(value, list) else [value]
        if any(isinstance(token, bool) or not isinstance(token, int) or token < 0 for token in ids):
            raise ModelError(f"{self.name}: {key!r} is {value!r}, not token ids", REPLACE_FILE)
        return tuple(ids)

    def inner(self, key: str) -> "Fields":
        value = self.values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ModelError(f"{self.name}: {key!r} is {value!r}, not an object", REPLACE_FILE)
        return Fields(value, f"{self.name}: {key}")


def read_fields(path: Path) -> Fields:
    """The JSON object a file holds."""
    try:
        size = path.stat().st_size
        text = path.read_text("utf-8") if size <= MAX_JSON_BYTES else ""
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "Point --model at a model folder.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text", REPLACE_FILE) from error
    if size > MAX_JSON_BYTES:
        raise ModelError(f"{path} has {size} bytes, more than such a file can have", REPLACE_FILE)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON", REPLACE_FILE) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object", REPLACE_FILE)
    return Fields(value, path.name)
