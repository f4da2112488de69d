"""Functions that an answer may call, and whether it may, must or must not: as clients offer them. Frozen data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

MAX_TOOLS = 128
MAX_CALL_ID_CHARS = 128
NAME_PATTERN = r"^[a-zA-Z0-9_.-]{1,64}$"
"""What a function may be called."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called; `parameters` is the JSON schema of its arguments, none where it takes none.

    `strict` asks that its arguments always follow the schema.
    """

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    description: str = ""


class Choose(Enum):
    """What an answer may be."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` is the function that must be called, with NAMED."""

    choose: Choose
    name: str = ""

    @classmethod
    def of(cls, said: str) -> "ToolChoice":
        """One of the three words that clients say."""
        return cls(Choose(said))

    @classmethod
    def named(cls, name: str) -> "ToolChoice":
        """This function must be called."""
        return cls(Choose.NAMED, name)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the answer to one chat may call. Without a choice it is the model's own."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice | None = None
    parallel: bool = True
    """Whether there may be several calls."""

    @property
    def stands(self) -> bool:
        """Whether there is anything to call."""
        return bool(self.tools) and (self.choice is None or self.choice.choose is not Choose.NONE)
