"""Findings about processor, compiler and shared memory: facts of this machine, and what others would mean."""

from pathlib import Path

import pytest

from baton.cli.findings import Finding, Grade
from baton.cli.processor import (
    compiler_version,
    in_container,
    network_namespace,
    of_compiler,
    of_place,
    of_processor,
    of_shared_memory,
    processor_model,
    shared_memory_failure,
    shm_bytes,
)

FLAGS = frozenset({"avx2", "avx512f", "sse"})
GOOD = [
    of_processor("A", FLAGS, "avx512"),
    of_compiler("g++ 12", "avx2"),
    of_compiler(None, None),
    of_shared_memory("", 64 << 20, 0),
    of_shared_memory("", 2 << 30, 8),
    of_place(1000, "[4026531833]", True),
]
NOT_GOOD = [
    of_processor("", frozenset(), None),
    of_compiler(None, "avx2"),
    of_shared_memory("memfd_create is refused", 64 << 20, 0),
    of_shared_memory("", 64 << 20, 2),
    of_shared_memory("", None, 2),
]


@pytest.mark.parametrize("finding", GOOD, ids=lambda finding: finding.what)
def test_good_needs_no_advice(finding: Finding) -> None:
    assert (finding.grade, finding.advice) == (Grade.GOOD, "")


@pytest.mark.parametrize("finding", NOT_GOOD, ids=lambda finding: finding.what)
def test_the_rest_says_what_to_do(finding: Finding) -> None:
    assert finding.grade is not Grade.GOOD
    assert finding.advice


def test_the_facts_name_what_counts() -> None:
    assert of_processor("A", FLAGS, "avx512").fact == "A; avx2, avx512f; kernels for avx512"
    assert "user 1000" in of_place(1000, "", False).fact


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some Processor\nflags\t: avx2\n")
    assert processor_model(tmp_path / "cpuinfo") == "Some Processor"
    assert processor_model(tmp_path / "none") == ""
    assert shared_memory_failure() == ""
    assert network_namespace().startswith("[")
    assert in_container() in (True, False)
    assert shm_bytes(tmp_path / "none") is None


def test_no_compiler_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler_version() is None
    (tmp_path / "g++").write_text("#!/bin/sh\necho 'g++ (Some) 13.1'\necho more\n")
    (tmp_path / "g++").chmod(0o755)
    assert compiler_version() == "g++ (Some) 13.1"
