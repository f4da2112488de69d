"""A fleet of real processes: forked by a zygote, or started from the command line. Knows nothing of requests.

Every fleet has a loopback address of its own, so that no port it was promised is taken by somebody else.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.addresses import loopback
from tests.house.source import ROOT
from tests.system.process import ENDING_S, Process, group_exists


class Starter(Protocol):
    """Makes processes of Baton's modules."""

    def start(self, name: str, module: str, argv: Sequence[str], log: Path) -> Process: ...


class Zygote:
    """Forks them: a start takes milliseconds, and the modules are not loaded again."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.system.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env=environment(),
            )
        self._channel.recv(1)

    def start(self, name: str, module: str, argv: Sequence[str], log: Path) -> Process:
        pid = self._ask(module=module, argv=list(argv), log=str(log))["pid"]
        return Process(name, pid, log, lambda: self._ask(reap=pid)["code"])

    def close(self) -> None:
        self._channel.close()
        self._process.wait(ENDING_S)

    def _ask(self, **command: object) -> dict[str, int]:
        self._channel.send(json.dumps(command).encode())
        answer: dict[str, int] = json.loads(self._channel.recv(1 << 16))
        return answer


class CommandLine:
    """Starts them as an operator does."""

    def start(self, name: str, module: str, argv: Sequence[str], log: Path) -> Process:
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=ROOT,
                env=environment(),
                process_group=0,
            )
        return Process(name, process.pid, log, process.wait)


def environment() -> dict[str, str]:
    """One thread a process: there are more processes than cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which processes a fleet has, and how they are told to behave."""

    model: Path
    prefill: int = 2
    decode: int = 2
    routers: int = 1
    router_flags: tuple[str, ...] = ()
    worker_flags: tuple[str, ...] = ()


@dataclass
class Processes:
    """A fleet. Processes have names such as `decode-0`; one that is started again keeps its name."""

    starter: Starter
    layout: Layout
    folder: Path
    running: dict[str, Process] = field(default_factory=dict)
    past: list[Process] = field(default_factory=list)

    @property
    def routers(self) -> tuple[str, ...]:
        return _names("router", self.layout.routers)

    @property
    def workers(self) -> tuple[str, ...]:
        return _names("prefill", self.layout.prefill) + _names("decode", self.layout.decode)

    def start_all(self) -> None:
        for name in (*self.routers, *self.workers):
            self.start(name)

    def start(self, name: str, *more: str) -> Process:
        """Starts a process, again if there was one of that name."""
        role, layout = name.split("-")[0], self.layout
        if name in self.running:
            self.past.append(self.running.pop(name))
        flags = [f"--model={layout.model}", *more]
        if role == "router":
            module = "router"
            flags += [f"--grpc={self.grpc(name)}", f"--fleet={self.fleet(name)}", f"--http={self.http(name)}"]
            flags += layout.router_flags
        else:
            module = f"{role}_worker"
            joins = ",".join(map(self.fleet, self.routers))
            flags += [f"--name={name}", f"--routers={joins}", "--threads=1", *layout.worker_flags]
        log = self.folder / f"{len(self.past)}-{name}.log"
        process = self.running[name] = self.starter.start(name, module, flags, log)
        return process

    def mend(self) -> None:
        """Whatever was done to it: everybody runs."""
        for name in (*self.routers, *self.workers):
            if not self.running[name].alive:
                self.start(name)
            self.running[name].signal(signal.SIGCONT)

    def grpc(self, router: str = "router-0") -> str:
        return f"{loopback()}:{5100 + int(router.split('-')[1])}"

    def fleet(self, router: str = "router-0") -> str:
        return f"{loopback()}:{5200 + int(router.split('-')[1])}"

    def http(self, router: str = "router-0") -> str:
        return f"{loopback()}:{5300 + int(router.split('-')[1])}"

    def end_all(self) -> dict[str, int]:
        """Asks every process to end, the workers last as an operator would; returns the exit codes."""
        codes = {}
        for names in (self.routers, self.workers):
            there = [self.running[name] for name in names if name in self.running]
            for process in there:
                if process.alive:
                    process.signal(signal.SIGCONT)
                    process.signal(signal.SIGTERM)
            codes.update({process.name: process.reap(ENDING_S) for process in there})
        for process in self.past:
            process.reap(0)
        return codes

    def complaints(self) -> list[str]:
        """What no process may ever say, whatever is done to the others."""
        wrong = re.compile(r"Traceback|CRITICAL|ERROR|bug|work unfinished|streams unfinished|never awaited")
        told = [(process.log, line) for process in (*self.running.values(), *self.past) for line in process.lines()]
        return [f"{log.name}: {line}" for log, line in told if wrong.search(line)]

    def leftovers(self) -> list[str]:
        """Processes of the group of one that has ended."""
        ended = [process for process in (*self.running.values(), *self.past) if not process.alive]
        return [process.name for process in ended if group_exists(process.pid)]

    def num_descriptors(self, name: str) -> int:
        return len(list(Path(f"/proc/{self.running[name].pid}/fd").iterdir()))

    def pools(self) -> dict[str, set[str]]:
        """Every KV pool some process of the fleet still holds in memory, by inode: who holds it."""
        holders: dict[str, set[str]] = {}
        for process in self.running.values():
            if process.alive:
                maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
                for line in maps:
                    if "memfd:baton-kv" in line:
                        holders.setdefault(line.split()[4], set()).add(process.name)
        return holders


def _names(role: str, number: int) -> tuple[str, ...]:
    return tuple(f"{role}-{place}" for place in range(number))
