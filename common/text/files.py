"""Reads a model folder's small JSON and text files. Owns what is said when they are missing or broken."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.types.errors import ModelError

MAX_FILE_BYTES = 256 << 20


def read_text(path: Path) -> str | None:
    """The file's text; None when there is no such file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} is larger than any such file should be", "Check the model folder")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read", "Check its permissions and that the download finished") from error


def read_object(path: Path) -> Mapping[str, Any]:
    """The file's JSON object; empty when there is no such file."""
    text = read_text(path)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON", "Download the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object", "Download the model again")
    return value
