"""Output of many processes on one terminal: each line under its name. Owns the stream.

On a terminal, what a process says of the phases of its start-up is no line of its own: it stands in a last line that
changes, and goes when all have started.
"""

import os
from collections.abc import Callable
from typing import TextIO

from common.obs.phases import START_UP_ENDS, phase_told

COLOURS = {"router": 36, "prefill": 33, "decode": 32, "baton": 1}
WIDTH = 10
CLEAR = "\r\x1b[K"


class Lines:
    """`plain` leaves lines as they are: for machines that read them."""

    def __init__(self, stream: TextIO, plain: bool = False, columns: Callable[[], int] | None = None) -> None:
        self._stream = stream
        self._plain = plain
        self._terminal = not plain and stream.isatty()
        self._columns = columns or (lambda: os.get_terminal_size(stream.fileno()).columns)
        self._phases: dict[str, str] = {}
        self._unread = False

    def write(self, name: str, line: str) -> None:
        """One line of this process."""
        if self._terminal and (phase := phase_told(line)):
            self._phases[name] = phase
            self._put("")
            return
        if START_UP_ENDS.match(line):
            self._phases.pop(name, None)
        if not self._plain:
            label = f"{name:<{WIDTH}} |"
            if self._terminal:
                label = f"\x1b[{COLOURS.get(name.split('-')[0], 0)}m{label}\x1b[0m"
            line = f"{label} {line}"
        self._put(line + "\n")

    def expect(self, *names: str) -> None:
        """These processes are about to start, and have said nothing yet."""
        if self._terminal:
            self._phases |= dict.fromkeys(names, "starting")
            self._put("")

    def close(self) -> None:
        """Takes the last line away."""
        if self._phases:
            self._phases.clear()
            self._put("")

    def _put(self, text: str) -> None:
        """Text above the line of phases, if there is one."""
        if self._terminal:
            text = CLEAR + text + self._status()
        if self._unread:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._unread = True  # the terminal was closed, or the pipe's reader ended: the processes go on

    def _status(self) -> str:
        text = "   ".join(f"{name}: {phase}" for name, phase in self._phases.items())
        return text[: max(0, self._columns() - 1)]
