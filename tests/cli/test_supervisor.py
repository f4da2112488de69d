"""The supervisor over small fake children: order of stopping, restarts, and nothing left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from baton.cli.child import Child, ChildSpec, how_it_ended
from baton.cli.supervisor import Pauses, Supervisor

WAITS = "import signal, sys; print('up', flush=True); signal.sigwait([signal.SIGTERM]); print('bye', flush=True)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
DIES = "import sys; print('sorry', flush=True); sys.exit(3)"
QUICK = Pauses(first_s=0.01, last_s=0.02)


def spec(name: str, code: str, stage: int = 0) -> ChildSpec:
    """Blocks SIGTERM before it says anything, so that sigwait gets it."""
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); " if code == WAITS else ""
    return ChildSpec(name, (sys.executable, "-c", block + code), stage)


class Stage:
    """What a supervisor said and relayed, and the means to await it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.changed = asyncio.Condition()
        self.health: asyncio.Queue[bool] = asyncio.Queue()

    def supervisor(self, *specs: ChildSpec, drain_s: float = 30.0) -> Supervisor:
        return Supervisor(specs, health=self._health(), say=self.say, on_line=self.hear, drain_s=drain_s, pauses=QUICK)

    def say(self, text: str) -> None:
        self.said.append(text)
        self._notify()

    def hear(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._notify()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(condition)

    async def _health(self) -> AsyncGenerator[bool]:
        while True:
            yield await self.health.get()

    def _notify(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        self._notifying = asyncio.create_task(notify())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_stages_end_in_order_and_last_words_are_heard() -> None:
    stage = Stage()
    supervisor = stage.supervisor(spec("router", WAITS), spec("worker-0", WAITS, 1), spec("worker-1", WAITS, 1))
    running = asyncio.create_task(supervisor.run())
    await stage.until(lambda: len(stage.lines) == 3)
    pids = supervisor.pids
    supervisor.stop()
    await running
    assert supervisor.failure is None
    assert stage.lines.index(("router", "bye")) == 3
    assert sorted(stage.lines[4:]) == [("worker-0", "bye"), ("worker-1", "bye")]
    assert stage.said == ["ending router", "ending worker-0, worker-1"]
    assert all(gone(pid) for pid in pids.values())


async def test_a_child_that_cannot_start_takes_all_down() -> None:
    stage = Stage()
    supervisor = stage.supervisor(spec("router", WAITS), spec("worker-0", DIES, 1))
    await supervisor.run()
    assert supervisor.failure is not None
    assert supervisor.failure.cause == "worker-0 could not start: it ended with exit code 3"
    assert stage.said[0].startswith("worker-0 could not start (exit code 3)")
    assert ("worker-0", "sorry") in stage.lines


async def test_what_dies_later_is_started_again() -> None:
    stage = Stage()
    supervisor = stage.supervisor(spec("worker-0", WAITS))
    running = asyncio.create_task(supervisor.run())
    stage.health.put_nowait(True)
    for num_lives in range(1, 4):
        await stage.until(lambda num=num_lives: stage.lines.count(("worker-0", "up")) == num)  # type: ignore[misc]
        if num_lives < 3:
            os.kill(supervisor.pids["worker-0"], signal.SIGKILL)
    supervisor.stop()
    await running
    assert supervisor.failure is None
    assert stage.said[:2] == [
        "worker-0 ended (killed by SIGKILL); starting it again in 0.01 s",
        "worker-0 ended (killed by SIGKILL); starting it again in 0.02 s",
    ]


async def test_what_was_asked_to_leave_is_not_started_again() -> None:
    stage = Stage()
    supervisor = stage.supervisor(spec("router", WAITS), spec("worker-0", WAITS, 1))
    running = asyncio.create_task(supervisor.run())
    await stage.until(lambda: len(stage.lines) == 2)
    stage.health.put_nowait(True)
    os.kill(supervisor.pids["worker-0"], signal.SIGTERM)
    await stage.until(lambda: len(stage.said) == 1)
    supervisor.stop()
    await running
    assert supervisor.failure is None
    assert stage.said == ["worker-0 left, as it was asked to; it is not started again", "ending router"]


async def test_who_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton.cli.supervisor.GRACE_S", 0.05)
    stage = Stage()
    supervisor = stage.supervisor(spec("router", STUBBORN), drain_s=0.05)
    running = asyncio.create_task(supervisor.run())
    await stage.until(lambda: len(stage.lines) == 1)
    supervisor.stop()
    await running
    assert supervisor.failure is None
    assert stage.said == ["ending router", "not ended within 0.1 s", "killing router"]


async def test_asked_twice_it_kills_at_once() -> None:
    stage = Stage()
    supervisor = stage.supervisor(spec("router", STUBBORN), spec("worker-0", STUBBORN, 1), drain_s=3600)
    running = asyncio.create_task(supervisor.run())
    await stage.until(lambda: len(stage.lines) == 2)
    pids = supervisor.pids
    supervisor.stop()
    await stage.until(lambda: "ending router" in stage.said)
    supervisor.stop()
    await running
    assert supervisor.failure is None
    assert stage.said == ["ending router", "killing router", "killing worker-0"]
    assert all(gone(pid) for pid in pids.values())


async def test_cancelled_it_leaves_nothing() -> None:
    stage = Stage()
    supervisor = stage.supervisor(spec("router", STUBBORN))
    running = asyncio.create_task(supervisor.run())
    await stage.until(lambda: len(stage.lines) == 1)
    pid = supervisor.pids["router"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gone(pid)


async def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    """A parent that is killed has no time to end its children: the kernel does it."""
    code = f"""
import asyncio, sys
from baton.cli.child import Child, ChildSpec
async def main():
    spec = ChildSpec("c", (sys.executable, "-c", {STUBBORN!r}))
    child = await Child.start(spec, lambda name, line: print(child.pid, line, flush=True))
    await child.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int((await parent.stdout.readline()).split()[0])
    watch = os.pidfd_open(pid)
    parent.kill()
    await parent.wait()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(watch, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(watch)
    os.close(watch)


def test_pauses_double_up_to_a_limit() -> None:
    pauses = Pauses(first_s=0.5, last_s=30)
    assert [pauses.after(num) for num in (1, 2, 3, 7, 100)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_ends_in_words() -> None:
    assert how_it_ended(0) == "exit code 0"
    assert how_it_ended(-9) == "killed by SIGKILL"
    assert how_it_ended(-99) == "killed by signal 99"


async def test_a_child_runs_on_the_cores_it_was_given() -> None:
    core, heard = max(os.sched_getaffinity(0)), list[str]()
    code = "import os, sys; sys.stdin.read(); print(sorted(os.sched_getaffinity(0)))"
    child = await Child.start(
        ChildSpec("c", (sys.executable, "-c", code), cores=(core,)), lambda _, line: heard.append(line)
    )
    assert await child.wait() == 0
    assert heard == [str([core])]
