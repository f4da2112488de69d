"""Keeps a set of child processes running, and ends them in order. Owns the processes; knows nothing of what they do.

    starting -> up (`health` said so once) -> stopping, stage by stage -> over

A child that ends while starting takes all down: it would end again. Later, it is started again after a pause that
doubles with each early death, unless it ended well: then somebody asked it to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from baton.cli.child import Child, ChildSpec, how_it_ended
from common.obs.phases import failure_told
from common.types.errors import StartupError

GRACE_S = 5.0
SEE_ABOVE = "Its last lines above say why"
FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0
LONG_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a child is started again; forgets early deaths after one long life."""

    first_s: float = FIRST_PAUSE_S
    last_s: float = LAST_PAUSE_S
    long_life_s: float = LONG_LIFE_S

    def after(self, num_early_deaths: int) -> float:
        return min(self.first_s * 2.0 ** min(num_early_deaths - 1, 30), self.last_s)


class Supervisor:
    """`run` returns when all children have ended, for whatever reason."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        health: AsyncIterator[bool],
        say: Callable[[str], None],
        on_line: Callable[[str, str], None],
        drain_s: float,
        pauses: Pauses = Pauses(),
    ) -> None:
        self._specs = tuple(specs)
        self._health, self._say, self._on_line = health, say, on_line
        self._drain_s, self._pauses = drain_s, pauses
        self._running: dict[str, Child] = {}
        self._up = False
        self._stopping, self._killing = asyncio.Event(), asyncio.Event()
        self.failure: StartupError | None = None

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._running.items()}

    def stop(self) -> None:
        """Ends the children in order; asked a second time, ends them now."""
        if self._stopping.is_set():
            self._killing.set()
        self._stopping.set()

    async def run(self) -> None:
        """Raises nothing for a child that could not start: `failure` has its own words then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                keepers = {spec.name: tasks.create_task(self._keep(spec)) for spec in self._specs}
                watcher = tasks.create_task(self._watch())
                await self._stopping.wait()
                watcher.cancel()
                await self._wind_down(keepers)
        finally:
            for child in self._running.values():
                child.kill()
                await child.wait()

    async def _watch(self) -> None:
        async for serving in self._health:
            self._up = self._up or serving

    async def _keep(self, spec: ChildSpec) -> None:
        """One child at a time, until it is time to stop."""
        loop = asyncio.get_running_loop()
        num_early_deaths = 0
        while not self._stopping.is_set():
            began = loop.time()
            child = self._running[spec.name] = await Child.start(spec, self._on_line)
            code = await child.wait()
            del self._running[spec.name]
            if self._stopping.is_set():
                return
            if not self._up:
                self._say(f"{spec.name} could not start ({how_it_ended(code)}); see its last lines above")
                told = failure_told(child.last_lines) or StartupError(f"it ended with {how_it_ended(code)}", SEE_ABOVE)
                self.failure = StartupError(f"{spec.name} could not start: {told.cause}", told.fix)
                self._stopping.set()
                return
            if code == 0:
                self._say(f"{spec.name} left, as it was asked to; it is not started again")
                return
            long_life = loop.time() - began >= self._pauses.long_life_s
            num_early_deaths = 1 if long_life else num_early_deaths + 1
            pause_s = self._pauses.after(num_early_deaths)
            self._say(f"{spec.name} ended ({how_it_ended(code)}); starting it again in {pause_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _wind_down(self, keepers: dict[str, asyncio.Task[None]]) -> None:
        """Stage by stage; who does not end in time, or after a second request, is killed."""
        for stage in sorted({spec.stage for spec in self._specs}):
            names = [spec.name for spec in self._specs if spec.stage == stage and spec.name in self._running]
            if not names:
                continue
            if not self._killing.is_set():
                self._say(f"ending {', '.join(names)}")
            for name in names:
                self._running[name].ask_to_end()
            await self._all_ended([keepers[name] for name in names])
            late = [name for name in names if name in self._running]
            if late:
                self._say(f"killing {', '.join(late)}")
            for name in late:
                self._running[name].kill()
            await asyncio.wait([keepers[name] for name in names])

    async def _all_ended(self, keepers: list[asyncio.Task[None]]) -> None:
        """Until these have ended, time is up, or patience is."""
        patience = asyncio.create_task(self._killing.wait())
        try:
            async with asyncio.timeout(self._drain_s + GRACE_S):
                waiting = set(keepers)
                while waiting and not patience.done():
                    done, _ = await asyncio.wait({*waiting, patience}, return_when=asyncio.FIRST_COMPLETED)
                    waiting -= done
        except TimeoutError:
            self._say(f"not ended within {self._drain_s + GRACE_S:g} s")
        finally:
            patience.cancel()
