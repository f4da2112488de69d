"""The compose file on a real engine: up, streams, scaled pools, a decode container killed under streams, down.

`make compose` runs it. BATON_IMAGE_ARGS holds what `docker buildx build` needs besides, where base image or index are
not the usual ones.
"""

import json
import os
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
    return run("docker", "compose", "-p", "baton-test", "-f", FILE, *words, **options)


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
    scale = [word for role, num in POOLS.items() for word in ("--scale", f"{role}={num}")]
    try:
        compose("up", "-d", "--no-build", "--wait", "--wait-timeout", "300", *scale)
        yield
    finally:
        compose("down", "-v", "--timeout", "45")


def in_router(code: str) -> Any:
    """What a script prints as JSON in the router's container."""
    return json.loads(compose("exec", "-T", "router", "python", "-c", code))


def fleet_now() -> Any:
    return in_router("import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/fleet').read().decode())")


@pytest.mark.usefixtures("fleet")
@pytest.mark.timeout(2 * PATIENCE_S)
def test_a_fleet_of_containers() -> None:
    members = fleet_now()["members"]
    assert {role: sum(each["role"] == role for each in members) for role in POOLS} == POOLS
    for _ in range(2):
        words = ("--max-tokens", "8", "--temperature", "0")
        compose("exec", "-T", "router", "python", "-m", "baton.cli.main", "generate", LONG_PROMPT, *words)
    logs = compose("logs", "router", "prefill", "decode")
    assert "no native kernels" not in logs, "the image brings them"

    talk = (ROOT / "tests/deploy/talk.py").read_text()
    talk_words = (
        "docker",
        "compose",
        "-p",
        "baton-test",
        "-f",
        FILE,
        "exec",
        "-T",
        "router",
        "python",
        "-",
        str(TALK_S),
    )
    with subprocess.Popen(talk_words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talking:
        assert talking.stdin is not None
        assert talking.stdout is not None
        talking.stdin.write(talk)
        talking.stdin.close()
        assert talking.stdout.readline() == "begun\n"
        run("docker", "kill", "baton-test-decode-1")
        told = json.loads(talking.stdout.readline())
    assert told["answers"] > 10
    assert told["wrong"] == 0, told
    assert [each["role"] for each in fleet_now()["members"]].count("decode") == POOLS["decode"] - 1

    compose("up", "-d", "--no-build", "--no-recreate", "--scale", "prefill=2", "--scale", "decode=3", "--wait")
    compose("stop", "--timeout", "45")
    told = compose("ps", "-a", "--format", "{{.Name}} {{.ExitCode}}").splitlines()
    codes = dict(line.split() for line in told if line and "secret" not in line)
    assert len(codes) == 1 + sum(POOLS.values())
    assert set(codes.values()) == {"0"}, codes
