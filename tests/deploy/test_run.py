"""The compose file on a real engine: up, streams, scaled pools, a decode container killed under streams, down.

`make compose` runs it. BATON_IMAGE_ARGS holds what `docker buildx build` needs besides, where base image or index are
not the usual ones.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILE = "deploy/compose/compose.cpu.yaml"
PATIENCE_S = 900
TALK_S = 20
POOLS = {"prefill": 2, "decode": 3}
SCALE = tuple(word for role, num in POOLS.items() for word in ("--scale", f"{role}={num}"))
PROJECT = ("compose", "-p", "baton-test", "-f", FILE)
LONG_PROMPT = "Baton hands a prompt over, block by block. " * 12


def run(*words: str, **options: Any) -> str:
    """Its output; an error shows what it said."""
    environment = os.environ | {"BATON_HTTP_PORT": "18080", "BATON_GRPC_PORT": "18081"}
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False, **options
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return str(done.stdout)


def compose(*words: str, **options: Any) -> str:
    return run("docker", *PROJECT, *words, **options)


def engine_is_up() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="module")
def fleet() -> Iterator[None]:
    if not os.environ.get("BATON_TEST_COMPOSE"):
        pytest.skip("it builds an image, which takes minutes: make compose runs it")
    if not engine_is_up():
        pytest.skip("no container engine answers here")
    words = ["docker", "buildx", "build", "-f", "deploy/compose/Dockerfile", "-t", "baton:cpu", "--load"]
    run(*words, *shlex.split(os.environ.get("BATON_IMAGE_ARGS", "")), ".")
    try:
        wait()
        yield
    finally:
        compose("down", "-v", "--timeout", "45")


def in_router(code: str) -> Any:
    """What a script prints as JSON in the router's container."""
    return json.loads(compose("exec", "-T", "router", "python", "-c", code))


def fleet_now() -> Any:
    return in_router("import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/fleet').read().decode())")


def baton(service: str, *words: str) -> str:
    """One of its commands, in a container of this service."""
    return compose("exec", "-T", service, "python", "-m", "baton.cli.main", *words)


def names(role: str) -> set[str]:
    return {each["name"] for each in fleet_now()["members"] if each["role"] == role}


def wait() -> None:
    compose("up", "-d", "--no-build", "--no-recreate", "--wait", "--wait-timeout", "300", *SCALE)


def talk() -> dict[str, int]:
    """The same question again and again from inside the router's container, while a decode container is killed."""
    words = ("docker", *PROJECT, "exec", "-T", "router", "python", "-", str(TALK_S))
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talking:
        assert talking.stdin is not None
        assert talking.stdout is not None
        talking.stdin.write((ROOT / "tests/deploy/talk.py").read_text())
        talking.stdin.close()
        assert talking.stdout.readline() == "begun\n"
        run("docker", "kill", "baton-test-decode-1")
        told: dict[str, int] = json.loads(talking.stdout.readline())
        return told


@pytest.mark.usefixtures("fleet")
@pytest.mark.timeout(2 * PATIENCE_S)
def test_a_fleet_of_containers() -> None:
    assert {role: len(names(role)) for role in POOLS} == POOLS
    for _ in range(2):
        baton("router", "generate", LONG_PROMPT, "--max-tokens", "8", "--temperature", "0")
    assert "no native kernels" not in compose("logs", "router", "prefill", "decode"), "the image brings them"
    assert re.search(r"shm\D+[\d.]+ GB/s", baton("decode", "doctor", "--fleet", "router:50052"))

    told = talk()
    assert told["answers"] > 10
    assert told["wrong"] == 0, told
    assert len(names("decode")) == POOLS["decode"] - 1
    wait()
    assert len(names("decode")) == POOLS["decode"], "a recreated container is a member again"

    before = names("prefill") | names("decode")
    compose("restart", "--timeout", "45", "router")
    wait()
    assert names("prefill") | names("decode") == before, "members come back to a router that was restarted"
    baton("router", "generate", LONG_PROMPT, "--max-tokens", "8", "--temperature", "0")

    compose("stop", "--timeout", "45")
    lines = compose("ps", "-a", "--format", "{{.Name}} {{.ExitCode}}").splitlines()
    codes = dict(line.split() for line in lines if line and "secret" not in line)
    assert len(codes) == 1 + sum(POOLS.values())
    assert set(codes.values()) == {"0"}, codes


@pytest.mark.usefixtures("fleet")
def test_the_file_for_gpus_is_one_that_the_engine_takes() -> None:
    run("docker", "compose", "-f", "deploy/compose/compose.yaml", "--profile", "observe", "config", "--quiet")
