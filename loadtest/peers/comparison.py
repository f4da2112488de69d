"""The whole comparison: turns of servers, one running at a time, every phase bounded, results kept phase by phase.

    a turn:  baton together, llama.cpp, vLLM, baton apart    then the same again: A B A B

A phase that fails is a line in the results, and the next one begins; a bug is one too, and is raised when all is done.
When the time is over, what is left is skipped.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from baton.client import Client, Delta
from common.types.errors import BatonError
from loadtest.peers import loads
from loadtest.peers.command import Failed, output
from loadtest.peers.contenders import (
    Peers,
    baton_apart,
    baton_demo,
    baton_together,
    clean_environment,
    engine_command,
    vllm_server,
)
from loadtest.peers.journal import Journal, Sample
from loadtest.peers.loads import Sizes
from loadtest.peers.referee import referee
from loadtest.peers.server import NotStarted, Server, running

ENGINE_S = 300.0
ENGINE_ROWS = frozenset({"C1", "C2", "C3"})
Measure = Callable[[Server, str, int, Sizes], AsyncIterator[Sample]]
PHASE_FAILURES = (Failed, NotStarted, BatonError, ValueError, TimeoutError, OSError)


@dataclass(slots=True)
class Comparison:
    """Runs once. `on_change` is called after every phase, to write what there is."""

    peers: Peers
    cores: Sequence[int]
    sizes: Sizes
    wanted: frozenset[str]
    journal: Journal
    log: Path
    deadline_s: float
    front: str
    refereed: bool
    say: Callable[[str], None]
    on_change: Callable[[], None]
    first_turn: int = 0
    bugs: list[Exception] = field(default_factory=list)

    async def run(self) -> None:
        if "C12" in self.wanted:
            for turn in range(self.first_turn, self.first_turn + self.sizes.starts):
                await self._phase("start to first token", lambda turn=turn: self._start(turn))  # type: ignore[misc]
        command = self.peers.missing_gguf() if self.wanted & ENGINE_ROWS else None
        if command is not None:
            name = "weights for llama.cpp"
            await self._phase(name, partial(output, name, command, ENGINE_S, clean_environment({})))
        for turn in range(self.first_turn, self.first_turn + self.sizes.turns):
            await self._turn(turn)
        if self.bugs:
            raise ExceptionGroup("phases of the comparison have bugs", self.bugs)

    async def _turn(self, turn: int) -> None:
        model, front = self.peers.model, self.front
        await self._engines(turn)
        fast = self._chosen({"C2": loads.decoding, "C3": loads.prefilling})
        await self._server(turn, "baton", lambda: baton_together(model, self.cores, front=front), fast)
        await self._vllm(turn)
        good = self._chosen({"C7": loads.keeping_goals})
        await self._server(turn, "baton", lambda: baton_apart(model, front=front), good)
        await self._server(turn, "baton", lambda: baton_apart(model, front="http"), self._refereed())
        steady = self._chosen({"C6": loads.undisturbed})
        for each in ("grpc", "http"):
            await self._server(turn, "baton", partial(baton_apart, model, mode="handoff", front=each), steady)

    async def _vllm(self, turn: int) -> None:
        vllm = self.peers.vllm
        measures = self._chosen({"C2": loads.decoding, "C3": loads.prefilling, "C7": loads.keeping_goals})
        measures += self._refereed()
        if turn == 0:
            measures += self._chosen({"C6": loads.undisturbed})
        if vllm is None:
            if measures and turn == 0:
                self._note("vLLM is not installed: rows C2, C3 and C7 have no peer")
            return
        await self._server(turn, "vllm", lambda: vllm_server(vllm, self.peers.model, self.cores), measures)

    async def _engines(self, turn: int) -> None:
        """Each engine's own speed, without a server around it."""
        for side in ("baton", "llama.cpp", "vllm") if self.wanted & ENGINE_ROWS else ():
            command = engine_command(side, self.peers, self.cores)
            if command is None:
                if turn == 0:
                    self._note(f"{side} is not installed, or has no model: its engine is not measured")
                continue
            argv, environment = command
            name = f"engine of {side}"
            heard = partial(self._heard, side, turn)
            await self._phase(f"turn {turn + 1}: {name}", partial(output, name, argv, ENGINE_S, environment, heard))

    def _heard(self, side: str, turn: int, line: str) -> None:
        """A line of an engine's script: a case and its figure, or talk."""
        if line.startswith('{"case"'):
            found = json.loads(line)
            self._add(Sample(found["case"], side, turn, float(found["value"]), "tokens/s"))

    async def _server(self, turn: int, side: str, make: Callable[[], Server], measures: Sequence[Measure]) -> None:
        """One start, and every measure on it; one that fails does not keep the next from its turn."""
        if not measures:
            return

        made = make()

        async def whole() -> None:
            async with running(made, self.log) as server:
                for measure in measures:
                    await self._phase(
                        f"turn {turn + 1}: {server.name}, {measure.__name__.replace('_', ' ')}",
                        lambda measure=measure: self._measure(measure, server, side, turn),  # type: ignore[misc]
                    )

        await self._phase(f"turn {turn + 1}: {made.name}", whole)

    async def _measure(self, measure: Measure, server: Server, side: str, turn: int) -> None:
        async for sample in measure(server, side, turn, self.sizes):
            self._add(sample)

    async def _start(self, turn: int) -> None:
        """From the command to the first token a client sees; the client tries from the first moment on."""
        began = time.perf_counter()
        async with running(baton_demo(), self.log) as server, Client(server.target) as client:
            async with aclosing(client.generate("Once upon a time", max_tokens=1, temperature=0.0)) as events:
                async for event in events:
                    if isinstance(event, Delta):
                        break
            self._add(Sample("start to first token", "baton", turn, time.perf_counter() - began, "s"))

    async def _phase(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            self._note(f"{name}: skipped, the time is over")
            return
        self.say(name)
        began = time.monotonic()
        try:
            async with asyncio.timeout(left_s + 60):
                await work()
        except PHASE_FAILURES as failure:
            self._note(f"{name}: {failure or type(failure).__name__}")
        except Exception as bug:  # noqa: BLE001 - raised again when the other phases have had their turn
            self.bugs.append(bug)
            self._note(f"{name}: a bug, {type(bug).__name__}")
        self.journal.took(name, time.monotonic() - began)
        self.say(f"{name}: {time.monotonic() - began:.0f} s")
        self.on_change()

    def _refereed(self) -> list[Measure]:
        """By another client too, where it was asked for and is there."""
        vllm = self.peers.vllm
        return [referee(vllm, self.peers.model)] if self.refereed and "C7" in self.wanted and vllm is not None else []

    def _chosen(self, measures: dict[str, Measure]) -> list[Measure]:
        return [
            measure for row, measure in measures.items() if row in self.wanted or (row == "C2" and "C1" in self.wanted)
        ]

    def _add(self, sample: Sample) -> None:
        self.journal.add(sample)
        self.say(f"  {sample.case}, {sample.side}: {sample.value:.2f} {sample.unit}")

    def _note(self, line: str) -> None:
        self.journal.note(line)
        self.say(line)
