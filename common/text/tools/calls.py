"""The calls of one answer while they are read: what may be called, and the parts that came of it.

A call that is not to be shown before it is whole is kept here; when it breaks, it was never there.
"""

from collections.abc import Mapping
from typing import Any

from common.text.tools.ids import NewId
from common.text.tools.parts import CallArguments, CallBegin, Part

MAX_CALLS = 256


class Calls:
    """Told by the parsers, asked by the reader."""

    def __init__(self, offered: Mapping[str, Mapping[str, Any]], new_id: NewId, whole: bool) -> None:
        """`offered` has each function's name and the schema of its arguments."""
        self._offered, self._new_id, self._whole = offered, new_id, whole
        self._kept: list[Part] = []
        self._parts: list[Part] = []
        self._num_begun = 0
        self._open = False
        self._settled = False

    def offers(self, name: str) -> bool:
        return name in self._offered and self._num_begun < MAX_CALLS

    def schema(self, name: str) -> Mapping[str, Any]:
        return self._offered[name]

    def begin(self, name: str) -> None:
        self._kept.append(CallBegin(self._num_begun, self._new_id(), name))
        self._num_begun += 1
        self._open = True
        self._show()

    def arguments(self, text: str) -> None:
        if text:
            self._kept.append(CallArguments(self._num_begun - 1, text))
            self._show()

    def end(self) -> None:
        self._open = False
        self._show()

    def settle(self) -> None:
        """What was read until here says nothing more, such as the end of a list of calls."""
        self._settled = True

    def settled(self) -> bool:
        """Whether all text until here has become parts, since the last time."""
        settled, self._settled = self._settled, False
        return settled

    def take(self) -> list[Part]:
        """What may be shown since the last time."""
        taken, self._parts = self._parts, []
        return taken

    def drop(self) -> None:
        """What is kept of a call that broke is forgotten; what was shown stays."""
        if self._kept:
            self._num_begun -= 1
        self._kept, self._open = [], False

    def _show(self) -> None:
        if not (self._whole and self._open):
            self._parts += self._kept
            self._kept = []
            self._settled = True
