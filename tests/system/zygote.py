"""Forks Baton's processes: has imported what takes seconds, so that each one starts in the time its own work takes.

    python -m tests.system.zygote SOCKET_FD

One thread and no gRPC object before a fork, which is all that fork asks for. A child runs the very main of `python -m
MODULE`, in a process group of its own, and dies with this process. Commands are JSON, one a message; a `reap` is only
sent for a child that has ended.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence

HEAVY = ("router.main", "common.engine.process", "prefill_worker.kind", "decode_worker.kind", "baton.cli.generate")
"""Everything that the mains import, but nothing that makes a thread or a socket."""
PR_SET_PDEATHSIG = 1
MAX_MESSAGE = 1 << 16


def main(channel: socket.socket) -> None:
    """Serves until the other end is closed; then its children die with it."""
    _warm_up()
    channel.send(b"{}")
    while message := channel.recv(MAX_MESSAGE):
        command = json.loads(message)
        if "reap" in command:
            _, status = os.waitpid(command["reap"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if not pid:
                channel.close()
                _become(command["module"], command["argv"], command["log"])
            answer = {"pid": pid}
        channel.send(json.dumps(answer).encode())


def _warm_up() -> None:
    for module in HEAVY:
        importlib.import_module(module)
    threads = os.listdir("/proc/self/task")
    if len(threads) != 1:
        raise RuntimeError(f"{len(threads)} threads after importing: a fork would lose all but one")
    gc.freeze()


def _become(module: str, argv: Sequence[str], log: str) -> None:
    """Never returns."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = [module, *argv]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
