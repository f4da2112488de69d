"""One child process: its start, its output line by line, its end. Knows nothing of why it should run."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
CHUNK_BYTES = 1 << 16
LINE_BYTES = 1 << 16
LAST_WORDS_S = 1.0
NUM_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run under which name, in whose environment (None is ours), on which cores (ours if none is named).

    A lower `stage` is stopped first.
    """

    name: str
    argv: tuple[str, ...]
    stage: int = 0
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    cores: tuple[int, ...] = ()


class Child:
    """A running process of its own group, so that the terminal's Ctrl-C reaches only who decides about it."""

    def __init__(self, spec: ChildSpec, process: Process, on_line: Callable[[str, str], None]) -> None:
        self.spec = spec
        self.last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
        self._process = process
        self._relay = asyncio.create_task(self._read(on_line))

    @classmethod
    async def start(cls, spec: ChildSpec, on_line: Callable[[str, str], None]) -> "Child":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            str(TETHER),
            str(os.getpid()),
            ",".join(map(str, spec.cores)),
            *spec.argv,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=spec.environment,
            process_group=0,
        )
        return cls(spec, process, on_line)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """The exit code, negative for a signal, once its last words were relayed."""
        code = await self._process.wait()
        await asyncio.wait([self._relay], timeout=LAST_WORDS_S)
        self._relay.cancel()
        return code

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _read(self, on_line: Callable[[str, str], None]) -> None:
        stream = self._process.stdout
        rest = b""

        def pass_on(line: bytes) -> None:
            text = line.decode(errors="replace")
            self.last_lines.append(text)
            on_line(self.spec.name, text)

        while stream is not None and (chunk := await stream.read(CHUNK_BYTES)):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                pass_on(line)
        if rest:
            pass_on(rest)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
