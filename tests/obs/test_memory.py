"""Memory and cores under control groups of both versions, from files written for the purpose."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from common.obs import memory

MIB = 1 << 20
MEMINFO = "MemTotal:       1048576 kB\nMemFree:  10 kB\nMemAvailable:    524288 kB\n"


def machine(root: Path, cgroup: str, files: Mapping[str, str | int]) -> Path:
    """A file tree that looks like a machine's, as far as this module looks."""
    said = {"proc/meminfo": MEMINFO, "proc/self/cgroup": cgroup}
    for name, content in {**said, **{f"sys/fs/cgroup/{name}": content for name, content in files.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def test_without_limits_it_is_the_machine_s(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", {})
    assert memory.available_bytes(root) == 512 * MIB
    assert memory.memory_limit(root) == 1024 * MIB


def test_version_2_counts_every_level(tmp_path: Path) -> None:
    files: dict[str, str | int] = {
        "a/memory.max": 200 * MIB,
        "a/memory.current": 150 * MIB,
        "a/memory.stat": f"anon 1\ninactive_file {20 * MIB}",
        "a/b/memory.max": "max",
        "a/b/memory.current": 10 * MIB,
    }
    root = machine(tmp_path, "0::/a/b", files)
    assert memory.available_bytes(root) == 70 * MIB
    assert memory.memory_limit(root) == 200 * MIB


def test_version_2_inside_a_container_stands_at_the_root(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", {"memory.max": 100 * MIB, "memory.current": 40 * MIB})
    assert memory.available_bytes(root) == 60 * MIB


def test_version_1_and_a_path_only_the_host_can_see(tmp_path: Path) -> None:
    files: dict[str, str | int] = {
        "memory/memory.limit_in_bytes": 300 * MIB,
        "memory/memory.usage_in_bytes": 250 * MIB,
        "memory/memory.stat": f"cache 1\ntotal_inactive_file {30 * MIB}",
    }
    root = machine(tmp_path, "3:cpu,cpuacct:/docker/x\n2:memory:/docker/x", files)
    assert memory.available_bytes(root) == 80 * MIB
    assert memory.memory_limit(root) == 300 * MIB


def test_version_1_without_a_limit_says_a_huge_number(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": 9223372036854771712, "memory/memory.usage_in_bytes": 5}
    root = machine(tmp_path, "2:memory:/", files)
    assert memory.available_bytes(root) == 512 * MIB
    assert memory.memory_limit(root) == 1024 * MIB


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", {"memory.max": 10 * MIB, "memory.current": 11 * MIB})
    assert memory.available_bytes(root) == 0


CORES = (0, 1, 2, 3, 5, 7)


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/", {}, CORES),
        ("0::/", {"cpu.max": "max 100000"}, CORES),
        ("0::/", {"cpu.max": "200000 100000"}, (0, 1)),
        ("0::/", {"cpu.max": "150000 100000"}, (0, 1)),
        ("0::/", {"cpu.max": "10000 100000"}, (0,)),
        ("0::/a", {"cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, (0, 1, 2)),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, CORES),
        ("1:cpu:/x", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}, (0, 1)),
    ],
)
def test_cores_within_the_quota(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cgroup: str,
    files: Mapping[str, str | int],
    expected: tuple[int, ...],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(CORES))
    assert memory.usable_cores(machine(tmp_path, cgroup, files)) == expected


def test_on_this_machine_the_numbers_make_sense() -> None:
    assert 0 < memory.available_bytes() <= memory.memory_limit()
    assert set(memory.usable_cores()) <= os.sched_getaffinity(0)
