"""The compose files, the image's recipe and the dashboards: that they agree with the code and with each other."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from baton.v1 import decode_pb2, inference_pb2, prefill_pb2
from common.obs.metrics import METRICS
from common.types.config import RouterConfig, WorkerConfig
from common.types.options import options

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
FILES = ("compose.yaml", "compose.cpu.yaml")
CONFIGS = {"router": RouterConfig, "prefill": WorkerConfig, "decode": WorkerConfig}
SUFFIXES = ("_bucket", "_sum", "_count", "")


def compose(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_every_setting_is_one_of_its_process(name: str) -> None:
    for service, config in CONFIGS.items():
        known = {option.variable for option in options(config)}
        known |= {option.variable + "_FILE" for option in options(config) if option.secret}
        assert set(compose(name)["services"][service]["environment"]) <= known, service


@pytest.mark.parametrize("name", FILES)
def test_nothing_runs_with_more_than_it_needs(name: str) -> None:
    for service in ("secret", *CONFIGS):
        found = compose(name)["services"][service]
        assert found["read_only"], service
        assert found["cap_drop"] == ["ALL"], service
        assert found["security_opt"] == ["no-new-privileges:true"], service
        assert "privileged" not in found
    services = compose(name)["services"]
    assert compose(name)["networks"]["fleet"]["internal"]
    assert [services[role]["networks"] for role in ("prefill", "decode")] == [["fleet"], ["fleet"]]
    assert not any("ports" in services[role] for role in ("prefill", "decode")), "a pool that is scaled shares no port"


@pytest.mark.parametrize("name", FILES)
def test_health_is_asked_of_services_that_exist(name: str) -> None:
    names = {
        service.full_name
        for module in (inference_pb2, prefill_pb2, decode_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    for service in CONFIGS:
        test = compose(name)["services"][service]["healthcheck"]["test"]
        assert test[:4] == ["CMD", "python", "-m", "common.net.check_health"]
        assert test[5] in names


def test_workers_with_gpus_can_open_each_others_memory_and_load_what_triton_makes() -> None:
    found = compose("compose.yaml")["services"]
    recipe = (FOLDER / "Dockerfile").read_text()
    for role in ("prefill", "decode"):
        assert (found[role]["ipc"], found[role]["pid"]) == ("host", "host")
        [device] = found[role]["deploy"]["resources"]["reservations"]["devices"]
        assert device["count"] == "all", "a peer's device must be one that this process sees"
        # a container's tmpfs is mounted noexec unless it is said otherwise
        assert [mount.partition(":") for mount in found[role]["tmpfs"]] == [("/tmp", ":", "exec")]
    assert "TRITON_CACHE_DIR=/tmp/triton" in recipe
    assert "pid" not in found["router"]


def test_both_files_have_the_same_parts() -> None:
    gpu, cpu = (compose(name) for name in FILES)
    assert gpu["services"].keys() == cpu["services"].keys()
    assert gpu["volumes"].keys() == cpu["volumes"].keys()


def test_every_metric_of_the_dashboards_is_exposed() -> None:
    exposed = {metric.name + suffix for metric in METRICS for suffix in SUFFIXES}
    for path in (FOLDER / "grafana" / "dashboards").glob("*.json"):
        panels = json.loads(path.read_text())["panels"]
        for panel in panels:
            for target in panel["targets"]:
                named = set(re.findall(r"[a-z_:]*baton_[a-z_]+|vllm:[a-z_]+", target["expr"]))
                assert named, target
                assert named <= exposed, (panel["title"], named - exposed)


def test_an_image_installs_what_its_extra_needs_but_torch() -> None:
    run = [sys.executable, "deploy/compose/needs.py", "worker"]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["dependencies"]) <= set(found)
    router = {line for line in project["optional-dependencies"]["router"] if not line.startswith("baton")}
    assert router <= set(found)
    assert not any(line.startswith(("torch", "baton")) for line in found)


def test_the_image_gets_every_package() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {package.removesuffix("*") for package in packages} <= kept
