"""`python -m router` as an operator meets it, with torch and triton out of reach."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.channel import open_channel
from tests.router.folder import model_folder
from tests.router.script import PATIENCE_S

BLOCKED = """
import sys
for name in ("torch", "triton", "transformers"):
    sys.modules[name] = None
sys.argv = ["router", *sys.argv[1:]]
"""
PORTS = ("--grpc=127.0.0.1:0", "--fleet=127.0.0.1:0", "--http=127.0.0.1:0")
RUN = BLOCKED + "from router.main import main\nsys.exit(main())\n"
IMPORT_ALL = BLOCKED + (
    "import importlib, pkgutil, router\n"
    "names = [found.name for found in pkgutil.walk_packages(router.__path__, 'router.')]\n"
    "assert len(names) > 20, names\n"
    "for name in names:\n"
    "    name == 'router.__main__' or importlib.import_module(name)\n"
)


async def start(code: str, *flags: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={key: value for key, value in os.environ.items() if not key.startswith("BATON_")},
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """A router process and its two addresses."""
    process = await start(RUN, f"--model={model_folder(folder / 'tiny')}", *PORTS)
    try:
        assert process.stdout is not None
        addresses: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(addresses) < 2:
                line = (await process.stdout.readline()).decode()
                assert line, "the router ended"
                addresses = re.findall(r"127\.0\.0\.1:\d+", line) if "clients on" in line else []
        yield process, addresses[0], addresses[1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_every_file_imports_without_torch_and_triton() -> None:
    assert await ended(await start(IMPORT_ALL)) == (0, "")


async def test_it_serves_its_health_and_describes_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, clients, workers):
        async with open_channel(clients) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service="baton.v1.Inference"))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
            models = await inference_pb2_grpc.InferenceStub(channel).ListModels(inference_pb2.ListModelsRequest())
            assert [model.id for model in models.models] == ["tiny"]
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            names = {service.name for service in (await call.read()).list_services_response.service}
            assert {"baton.v1.Inference", "grpc.health.v1.Health"} <= names
            assert "baton.v1.Fleet" not in names
            call.cancel()
        async with open_channel(workers) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service="baton.v1.Fleet"))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await inference_pb2_grpc.InferenceStub(channel).ListModels(inference_pb2.ListModelsRequest())
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, "clients have an address of their own"


async def test_asked_to_end_it_ends_well(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, _, _):
        process.send_signal(signal.SIGTERM)
        code, output = await ended(process)
        assert code == 0, output
        assert "Traceback" not in output


async def test_a_port_in_use_is_said_with_a_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        model = f"--model={model_folder(tmp_path / 'tiny')}"
        for flags in ((*PORTS, f"--{name}=127.0.0.1:{port}") for name in ("grpc", "fleet", "http")):
            code, output = await ended(await start(RUN, model, *flags))
            assert code == 1
            assert f"port {port}" in output
            assert "already in use" in output
            assert "Traceback" not in output


async def test_a_broken_model_folder_is_said_with_a_way_out(tmp_path: Path) -> None:
    code, output = await ended(await start(RUN, f"--model={tmp_path}", *PORTS))
    assert code == 1
    assert "config.json" in output
    assert "Traceback" not in output
