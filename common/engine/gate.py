"""Between the event loop and the engine: an attempt with a constraint is let through once that has been compiled.

Owns the threads that compile, and the commands held back meanwhile, each attempt's in order. A constraint that does
not compile refuses its own attempt; nobody else waits. Knows nothing of pools and of what the commands mean.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from common.engine.messages import Command, Event, Refused, Reserve, Submit, SubmitLocal
from common.text.compiler import Compiler
from common.text.grammar import refused
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest
from common.types.ids import AttemptId

NUM_THREADS = 2


class Gate:
    """`post` is what the event loop calls instead of the engine's. `on_events` may be called on any thread."""

    def __init__(
        self,
        post: Callable[[Command], None],
        compiler: Compiler | None,
        on_events: Callable[[tuple[Event, ...]], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._forward = post
        self._compiler = compiler
        self._on_events = on_events
        self._on_crash = on_crash
        self._compiling = ThreadPoolExecutor(NUM_THREADS, "compile")
        self._held: dict[AttemptId, list[Command]] = {}
        self._lock = threading.Lock()

    def post(self, command: Command) -> None:
        constraint = _constraint_of(command)
        id = _attempt_of(command)
        with self._lock:
            if id in self._held:
                self._held[id].append(command)
                return
            if constraint is None or (self._compiler is not None and self._compiler.has(constraint)):
                self._forward(command)
                return
            self._held[id] = [command]
        self._compiling.submit(self._open, id, constraint)

    def close(self) -> None:
        """What still waits is lost, as the engine's own queue is."""
        self._compiling.shutdown(wait=True, cancel_futures=True)

    def _open(self, id: AttemptId, constraint: Constraint) -> None:
        try:
            refusal = self._compile(constraint)
            with self._lock:
                commands = self._held.pop(id)
                if refusal is None:
                    for command in commands:
                        self._forward(command)
            if refusal is not None:
                self._on_events((Refused(id, refusal),))
        except BaseException as bug:  # noqa: BLE001 - the owner of the process ends it, loudly
            self._on_crash(bug)

    def _compile(self, constraint: Constraint) -> InvalidRequest | None:
        if self._compiler is None:
            return refused("cannot be enforced by this worker")
        try:
            self._compiler.begin(constraint)
        except InvalidRequest as error:
            return error
        return None


def _constraint_of(command: Command) -> Constraint | None:
    match command:
        case Submit(attempt) | Reserve(attempt) | SubmitLocal(attempt):
            return attempt.sampling.constraint
        case _:
            return None


def _attempt_of(command: Command) -> AttemptId:
    match command:
        case Submit(attempt) | Reserve(attempt) | SubmitLocal(attempt):
            return attempt.id
        case _:
            return command.id
