"""What an image installs: extras that name extras, torch left out; and that image, scraper and panels fit together."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def needs(extras: dict[str, list[str]], base: list[str], extra: str) -> list[str]:
    spec = importlib.util.spec_from_file_location("needs", FOLDER / "needs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[str] = module.needs({"optional-dependencies": extras}, base, extra)
    return found


@pytest.mark.parametrize(
    ("extras", "found"),
    [
        ({"x": []}, ["grpcio>=1"]),
        ({"x": ["a>=1", "b"]}, ["grpcio>=1", "a>=1", "b"]),
        ({"x": ["a", "torch>=2", "torch==2.13; sys_platform == 'linux'"]}, ["grpcio>=1", "a"]),
        ({"x": ["baton[y]", "a"], "y": ["b", "baton[z]"], "z": ["c"]}, ["grpcio>=1", "b", "c", "a"]),
        ({"x": ["grpcio>=1", "a", "a"]}, ["grpcio>=1", "a"]),
    ],
)
def test_extras_are_followed_and_nothing_stands_twice(extras: dict[str, list[str]], found: list[str]) -> None:
    assert needs(extras, ["grpcio>=1"], "x") == found


def test_an_extra_that_is_not_there_fails_the_build() -> None:
    with pytest.raises(KeyError, match="nothing"):
        needs({}, [], "nothing")


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_extra_of_the_project_can_be_asked_for(extra: str) -> None:
    found = needs(PROJECT["optional-dependencies"], PROJECT["dependencies"], extra)
    assert found
    assert not [line for line in found if "[" in line and line.startswith("baton")]


def test_the_image_is_built_with_extras_that_exist() -> None:
    asked = set(re.findall(r"^ARG EXTRAS=(\w+)", DOCKERFILE, re.MULTILINE))
    for name in ("compose.yaml", "compose.cpu.yaml"):
        build = yaml.safe_load((FOLDER / name).read_text())["services"]["router"]["build"]
        asked |= {build["args"]["EXTRAS"]} if "EXTRAS" in build.get("args", {}) else set()
    assert asked
    assert asked <= set(PROJECT["optional-dependencies"])


def test_every_argument_of_a_build_is_one_of_the_images() -> None:
    known = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    build = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["router"]["build"]
    assert set(build["args"]) <= known


def test_what_is_copied_into_the_image_exists_and_is_sent_to_its_build() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert source == "." or any(source == path or source.startswith(path + "/") for path in kept), source


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\w+)", DOCKERFILE, re.MULTILINE)
    assert users == ["baton"]
    assert DOCKERFILE.rindex("USER baton") > DOCKERFILE.rindex("RUN ")


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_the_scraper_asks_where_the_router_serves(name: str) -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = (target for job in scraped for config in job["static_configs"] for target in config["targets"])
    services = yaml.safe_load((FOLDER / name).read_text())["services"]
    service, _, port = target.partition(":")
    assert services[service]["environment"]["BATON_HTTP"].endswith(f":{port}")


def test_panels_ask_the_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
    uids = {source["uid"] for source in sources}
    for path in (FOLDER / "grafana/dashboards").glob("*.json"):
        text = path.read_text()
        assert set(re.findall(r'"uid": "(prometheus[^"]*)"', text)) <= uids
        panels = json.loads(text)["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert len({panel["title"] for panel in panels}) == len(panels)


def test_panels_do_not_lie_on_each_other() -> None:
    for path in (FOLDER / "grafana/dashboards").glob("*.json"):
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not taken & cells, panel["title"]
            taken |= cells
