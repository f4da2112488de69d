"""What `baton doctor` prints of findings, and what its end says; the machine is a stand-in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from baton.cli import carriers, doctor, fleet_check
from baton.cli.findings import Carried, Finding, Grade, of_carriers, of_cores, of_memory, of_open_files, of_versions
from baton.cli.processor import of_compiler, of_place, of_processor, of_shared_memory, processor_model
from common.types.config import DoctorConfig

GOOD, WEAK, BAD = (Finding(grade.value, grade, "fact", "" if grade is Grade.GOOD else "advice") for grade in Grade)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    found: list[Finding] = []
    monkeypatch.setattr(doctor, "_machine", lambda: list(found))
    monkeypatch.setattr(doctor, "installed", lambda name: "1.0")
    monkeypatch.setattr(carriers, "measure_carriers", lambda num_bytes: ((Carried("shm", 9e9),), 1e10))
    return found


@pytest.mark.parametrize(("findings", "code"), [([], 0), ([GOOD, WEAK], 0), ([GOOD, BAD], 1)])
def test_only_what_is_bad_fails(machine: list[Finding], findings: list[Finding], code: int) -> None:
    machine += findings
    assert doctor.run([]) == code


def test_a_finding_is_a_line_and_its_advice_one_below(
    machine: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    machine += [Finding("cores", Grade.GOOD, "8"), Finding("memory", Grade.WEAK, "1 GiB", "Raise the limit")]
    doctor.run([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "ok    cores            8",
        "weak  memory           1 GiB",
        "                       -> Raise the limit",
    ]
    assert lines[3].startswith("ok    copy in memory")
    assert lines[4].startswith("ok    transport shm")


def test_without_torch_nothing_is_carried(
    machine: list[Finding], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "torch" else "1.0")
    assert doctor.run([]) == 0
    assert "transport" not in capsys.readouterr().out


def test_a_fleet_is_checked_when_it_is_named(
    machine: list[Finding], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[DoctorConfig] = []

    async def check_fleet(config: DoctorConfig) -> AsyncIterator[Finding]:
        asked.append(config)
        yield Finding("from prefill-0 by shm", Grade.BAD, "refused", "Compare `place`")

    monkeypatch.setattr(fleet_check, "check_fleet", check_fleet)
    assert doctor.run(["--fleet=127.0.0.1:5"]) == 1
    assert [config.fleet for config in asked] == ["127.0.0.1:5"]
    assert "-> Compare `place`" in capsys.readouterr().out
    assert doctor.run([]) == 0
    assert len(asked) == 1


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert doctor.installed("pytest") == pytest.__version__
    assert doctor.installed("no-such-package-at-all") is None


@pytest.mark.parametrize(
    ("finding", "grade"),
    [
        (of_versions((3, 11, 0), {})[0], Grade.GOOD),
        (of_versions((3, 10, 99), {})[0], Grade.BAD),
        (of_versions((4, 0, 0), {})[0], Grade.GOOD),
        (of_cores(2, 2), Grade.GOOD),
        (of_cores(1, 1), Grade.WEAK),
        (of_memory(2 << 30), Grade.GOOD),
        (of_memory((2 << 30) - 1), Grade.WEAK),
        (of_open_files(4096), Grade.GOOD),
        (of_open_files(4095), Grade.WEAK),
        (of_shared_memory("", 1 << 30, 2), Grade.GOOD),
        (of_shared_memory("", (1 << 30) - 1, 2), Grade.WEAK),
        (of_shared_memory("", None, 2), Grade.WEAK),
        (of_shared_memory("", None, 1), Grade.GOOD),
        (of_shared_memory("memfd_create is refused", 1 << 40, 0), Grade.BAD),
        (of_compiler(None, None), Grade.GOOD),
        (of_compiler(None, "avx2"), Grade.WEAK),
        (of_processor("x", {"avx2"}, "avx2"), Grade.GOOD),
        (of_processor("x", set(), None), Grade.WEAK),
        (of_place(0, "", True), Grade.GOOD),
    ],
)
def test_grades_turn_at_their_limits(finding: Finding, grade: Grade) -> None:
    assert finding.grade is grade
    assert bool(finding.advice) is (grade is not Grade.GOOD)


@pytest.mark.parametrize(
    ("carried", "grade", "words"),
    [
        (Carried("shm", 2.5e9), Grade.GOOD, "2.50 GB/s verified, 25% of a plain copy"),
        (Carried("shm", 2.4e9), Grade.WEAK, "24% of a plain copy"),
        (Carried("tcp", 1e8), Grade.GOOD, "0.10 GB/s verified, 1% of a plain copy"),
        (Carried("shm", failure="no memfd"), Grade.BAD, "no memfd"),
    ],
)
def test_a_transport_is_judged_beside_a_plain_copy(carried: Carried, grade: Grade, words: str) -> None:
    ceiling, found = of_carriers([carried], 1e10, 64 << 20)
    assert ceiling.fact == "10.0 GB/s, one thread, 64MiB"
    assert found.grade is grade
    assert words in found.fact


def test_a_processor_is_called_what_the_kernel_calls_it(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Fast (R): 3 GHz\nmodel name\t: Other\n")
    assert processor_model(told) == "Fast (R): 3 GHz"
    told.write_text("processor : 0\n")
    assert processor_model(told) == ""
    assert processor_model(tmp_path / "none") == ""
