"""What a process says while it starts: a live display on a terminal, one line per phase elsewhere.

Owns the words around a start-up: what it is doing, how far it is, and at the end that it is ready, or why not and what
to do about it. Knows nothing of what the phases are.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn

from common.types.errors import StartupError

PROGRESS_S = 2.0
"""Where nobody sees a bar, a long phase says this often how far it is."""
START_UP_ENDS = re.compile(r"\w+: (?:ready in|cannot start)\b")
_UNDER_WAY = re.compile(r"\w+: (.+) \.\.\.")
_CAUSE = re.compile(r"\w+: cannot start(?: \(.*?\))?: (.*)")
_FIX = re.compile(r"\w+: to fix it: (.*)")


def phase_told(line: str) -> str:
    """The phase that a line of another process's start-up speaks of, and how far it is; empty for any other line."""
    found = _UNDER_WAY.fullmatch(line)
    return found[1] if found else ""


def failure_told(lines: Iterable[str]) -> StartupError | None:
    """Why another process could not start, from its last lines."""
    cause = fix = ""
    for line in lines:
        if found := _CAUSE.fullmatch(line):
            cause, fix = found[1], ""
        elif found := _FIX.fullmatch(line):
            fix = found[1]
    return StartupError(cause, fix) if cause else None


class Phases:
    """One start-up. May be told of progress from any thread."""

    def __init__(self, prog: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._prog, self._clock = prog, clock
        self._stream = sys.stderr if stream is None else stream
        self._began = self._phase_began = self._said = clock()
        self._phase = ""
        self._display: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, phase: str) -> None:
        """The phase before, if any, is done."""
        self._end_phase()
        self._phase = phase
        self._phase_began = self._said = self._clock()
        if self._stream.isatty():
            self._show(phase)
        else:
            self.say(f"{phase} ...")

    def say(self, line: str) -> None:
        """A line of its own, such as how the memory was divided."""
        text = f"{self._prog}: {line}"
        if self._display is not None:
            self._display.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def progress(self, done: int, total: int) -> None:
        """How far the phase is: a bar on a terminal, elsewhere a line now and then."""
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=done, total=total)
        elif self._phase and total and self._clock() - self._said >= PROGRESS_S:
            self._said = self._clock()
            self.say(f"{self._phase} {done / total:.0%} ...")

    def ready(self, what: str) -> None:
        """The last line of a start-up that worked."""
        self._end_phase()
        self.say(f"ready in {self._clock() - self._began:.1f} s: {what}")

    def failed(self, error: StartupError) -> None:
        """The last two lines of one that did not: cause, then fix."""
        self._close()
        during = f" ({self._phase})" if self._phase else ""
        self.say(f"cannot start{during}: {error.cause}")
        if error.fix:
            self.say(f"to fix it: {error.fix}")

    def _show(self, phase: str) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn(f"{self._prog}: {{task.description}}"),
            BarColumn(),
            TaskProgressColumn(),
        )
        self._display = Progress(*columns, console=Console(file=self._stream), transient=True)
        self._task = self._display.add_task(phase, total=None)
        self._display.start()

    def _end_phase(self) -> None:
        shown = self._display is not None
        self._close()
        if shown:
            self.say(f"{self._phase} took {self._clock() - self._phase_began:.1f} s")
        self._phase = ""

    def _close(self) -> None:
        if self._display is not None:
            self._display.stop()
        self._display = self._task = None
