"""`baton up` as a process, over fake modules that stand in for router and workers."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from baton.demo import MODEL
from tests.addresses import free_address
from tests.house.source import ROOT

ROUTER = """
import asyncio, signal, sys
from functools import partial
from baton.v1 import fleet_pb2_grpc
from common.net.health import Health
from common.net.server import bind, make_server
from common.types.config import RouterConfig
from common.types.resolve import load
from tests.client.router import ScriptedFleet

async def main():
    config = load(RouterConfig, "router")
    print("key", len(config.cache_key), flush=True)
    health = await Health.open(["baton.v1.Inference"])
    server = make_server([health.register, partial(fleet_pb2_grpc.add_FleetServicer_to_server, ScriptedFleet())])
    bind(server, config.grpc)
    bind(server, config.fleet)
    await server.start()
    await health.set_serving(True)
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()
    await server.stop(0)
    print("router bye", flush=True)

asyncio.run(main())
"""
WORKER = """
import signal
from common.types.config import WorkerConfig
from common.types.resolve import load
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
config = load(WorkerConfig, "worker")
print("serving", config.model, "to", *config.routers, flush=True)
signal.sigwait([signal.SIGTERM])
print("worker bye", flush=True)
"""
BROKEN = """
import sys
from common.obs.phases import Phases
from common.types.errors import StartupError
phases = Phases("prefill_worker")
phases.begin("load")
phases.failed(StartupError("there is no model", "Check --model"))
sys.exit(1)
"""


async def start(tmp_path: Path, worker: str = WORKER, grpc: str = "") -> tuple[asyncio.subprocess.Process, str, str]:
    for module, code in (("router", ROUTER), ("prefill_worker", worker), ("decode_worker", WORKER)):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").touch()
        (tmp_path / module / "__main__.py").write_text(code)
    grpc, fleet = grpc or free_address(), free_address()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "baton.cli.main",
        "up",
        "--grpc",
        grpc,
        "--fleet",
        fleet,
        "--http",
        free_address(),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return process, grpc, fleet


async def read_until(process: asyncio.subprocess.Process, text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        line = await process.stdout.readline()
        assert line, lines
        lines.append(line.decode().rstrip())
    return lines


async def test_up_serves_and_ends_in_order(tmp_path: Path) -> None:
    process, grpc, fleet = await start(tmp_path)
    lines = await read_until(process, "try: baton generate")
    assert f"--grpc {grpc}" in lines[-1]
    while sum(f"serving {MODEL} to {fleet}" in line for line in lines) < 2:  # a worker that hears its end in time
        lines += await read_until(process, f"serving {MODEL} to")
    assert "baton      | no --model is named: this is the demo model that comes with Baton, a very small one" in lines
    assert "baton      | starting router, prefill-0, decode-0" in lines
    assert "router     | key 64" in lines
    assert "baton      | serving with 1 of 2 workers (decode-0); the others join when they have loaded" in lines
    process.send_signal(signal.SIGINT)
    ending = await read_until(process, "baton      | ended")
    assert await process.wait() == 0
    order = [line for line in ending if "bye" in line]
    assert order[0] == "router     | router bye"
    assert sorted(order[1:]) == ["decode-0   | worker bye", "prefill-0  | worker bye"]


async def test_up_ends_when_a_worker_cannot_start(tmp_path: Path) -> None:
    process, _, _ = await start(tmp_path, worker=BROKEN)
    lines = await read_until(process, "baton up: ")
    assert await process.wait() == 1
    assert "prefill-0  | prefill_worker: cannot start (load): there is no model" in lines
    assert lines[-2:] == ["baton      | ended", "baton up: prefill-0 could not start: there is no model. Check --model"]


async def test_up_names_a_worker_that_died_without_a_word(tmp_path: Path) -> None:
    process, _, _ = await start(tmp_path, worker="import os; os._exit(9)")
    lines = await read_until(process, "baton up: ")
    assert await process.wait() == 1
    assert "prefill-0 could not start: it ended with exit code 9. Its last lines above say why" in lines[-1]


async def test_up_starts_nothing_on_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process, _, _ = await start(tmp_path, grpc=f"127.0.0.1:{taken.getsockname()[1]}")
        out, _ = await process.communicate()
    assert process.returncode == 1
    assert "starting" not in out.decode()
    last = out.decode().splitlines()[-1]
    assert last.startswith("baton up: --grpc: port ")
    assert "already in use. Stop what uses it, or choose another port" in last
