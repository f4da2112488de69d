"""Somebody else's client, played by a script, and what the machine is called."""

import json
import stat
import sys
from pathlib import Path

import pytest

from loadtest.peers.command import Failed
from loadtest.peers.contenders import Peers
from loadtest.peers.loads import QUICK
from loadtest.peers.machine import facts
from loadtest.peers.referee import referee
from loadtest.peers.server import Server

CLIENT = """#!{python}
import json, sys
flags = dict(zip(sys.argv, sys.argv[1:]))
with open(flags["--result-dir"] + "/" + flags["--result-filename"], "w") as out:
    json.dump({{"request_goodput": 1.25, "median_ttft_ms": 90.0, "p99_itl_ms": 30.0}}, out)
print(json.dumps(sys.argv))
sys.exit({code})
"""
SERVER = Server("fake", (), "http://127.0.0.1:1", 1.0, model_id="m")


def client(folder: Path, code: int = 0) -> Path:
    path = folder / "vllm"
    path.write_text(CLIENT.format(python=sys.executable, code=code))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_its_figures_are_samples(tmp_path: Path) -> None:
    samples = [sample async for sample in referee(client(tmp_path), tmp_path / "m")(SERVER, "baton", 1, QUICK)]
    assert [(sample.case, sample.value, sample.unit) for sample in samples] == [
        ("goodput at 2/s by vllm bench serve", 1.25, "requests/s"),
        ("median_ttft_ms at 2/s by vllm bench serve", 90.0, "ms"),
        ("p99_itl_ms at 2/s by vllm bench serve", 30.0, "ms"),
    ]
    assert {(sample.side, sample.turn) for sample in samples} == {("baton", 1)}


async def test_its_failure_is_told(tmp_path: Path) -> None:
    samples = referee(client(tmp_path, code=2), tmp_path / "m")(SERVER, "baton", 1, QUICK)
    with pytest.raises(Failed, match="vllm bench serve failed"):
        await anext(samples)


def test_facts_name_machine_model_and_peers(tmp_path: Path) -> None:
    lines = facts(Peers(None, tmp_path / "135m"), (0, 1), 600.0, 0.25)
    assert "2 cores for everything" in lines[0]
    assert lines[1] == "model `135m` in bfloat16; peers: none"
    assert lines[2] == "took 10 minutes; load before it began 0.25"


def test_a_peer_that_does_not_know_its_version_is_named_all_the_same(tmp_path: Path) -> None:
    python = tmp_path / "llama/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert "peers: llama-cpp-python" in facts(Peers(tmp_path, tmp_path / "m"), (0,), 1.0, 0.0)[1]
    assert json.dumps(facts(Peers(tmp_path, tmp_path / "m"), (0,), 1.0, 0.0))
