"""Building: kept, rebuilt when damaged, shared by processes that start at once, and done without where it cannot be."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.kernels.native import build as building
from common.kernels.native.build import LEVELS, CannotBuildError, Level, build, cpu_flags, levels_of

LEVEL = LEVELS[-1]
SMALL = 'extern "C" int answer() { return 42; }\n'

WITHOUT_COMPILER = """
import logging, sys, torch
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from common.models.decoder import Decoder
from tests.models.loop import greedy, random_prompts
from tests.tiny import reference_greedy, tiny_model
folder = tiny_model("llama-3to1")
decoders = [Decoder.load(folder, "float32") for _ in range(2)]
[prompt] = random_prompts(decoders[0].config.vocab_size, (13,))
print(greedy(decoders[1], [prompt], 8, 16, 512)[0] == reference_greedy(folder, prompt, 8))
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources that compile in no time."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "small.cpp").write_text(SMALL)
    monkeypatch.setattr(building, "SOURCES", folder)
    return folder


@pytest.mark.usefixtures("small")
def test_is_built_once(tmp_path: Path) -> None:
    first = build(LEVEL, tmp_path / "cache")
    written = first.stat().st_mtime_ns
    assert build(LEVEL, tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == written


@pytest.mark.usefixtures("small")
def test_what_is_built_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(LEVEL, tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build(LEVEL, tmp_path / "cache") == first
    with pytest.raises(CannotBuildError, match="no C\\+\\+ compiler"):
        build(LEVEL, tmp_path / "another")


def test_other_sources_are_another_library(small: Path, tmp_path: Path) -> None:
    first = build(LEVEL, tmp_path / "cache")
    (small / "small.cpp").write_text(SMALL.replace("42", "43"))
    assert build(LEVEL, tmp_path / "cache") != first
    assert build(Level("other", frozenset(), ()), tmp_path / "cache").name.startswith("other-")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_a_damaged_library_is_built_anew(tmp_path: Path, damage: str) -> None:
    library = build(LEVEL, tmp_path / "cache")
    whole = library.read_bytes()
    changed = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    library.write_bytes({"cut": whole[: len(whole) // 2], "changed": changed, "emptied": b""}[damage])
    assert build(LEVEL, tmp_path / "cache").read_bytes() == whole


@pytest.mark.usefixtures("small")
def test_many_builders_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: build(LEVEL, tmp_path / "cache"), range(8)))
    assert len(set(built)) == 1
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted((built[0].name, "lock"))


def test_an_error_of_the_compiler_is_told(small: Path, tmp_path: Path) -> None:
    (small / "small.cpp").write_text("this is not C++\n")
    with pytest.raises(CannotBuildError, match=r"failed: .*small\.cpp"):
        build(LEVEL, tmp_path / "cache")


@pytest.mark.usefixtures("small")
def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(CannotBuildError, match="cache"):
        build(LEVEL, tmp_path / "cache")


def test_levels_follow_the_processor(tmp_path: Path) -> None:
    assert levels_of(frozenset()) == ()
    assert [level.name for level in levels_of(LEVELS[2].needs)] == ["avx2"]
    assert [level.name for level in levels_of(LEVELS[0].needs | {"sse"})] == ["avx512_bf16", "avx512", "avx2"]
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fma avx2\n\nprocessor\t: 1\nflags\t\t: fma\n")
    assert cpu_flags(tmp_path / "cpuinfo") in ({"fma", "avx2"}, frozenset())
    assert cpu_flags(tmp_path / "absent") == frozenset()


def test_without_a_compiler_torch_serves_and_it_is_said_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": "", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "no native kernels, torch computes: there is no C++ compiler (g++ or c++) on the path;"
        " install one for speed: apt-get install g++",
        "True",
    ], done.stderr
