"""How much memory and how many cores this process may use: the machine's, less what its control group withholds.

Reads /proc and /sys/fs/cgroup, version 1 and 2. A limit counts at every level above the process.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class _Group:
    """Files of one version's memory controller."""

    limit: str
    usage: str
    reclaimable: str


_V1 = _Group("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Group("memory.max", "memory.current", "inactive_file")


def available_bytes(root: Path = ROOT) -> int:
    """What can be allocated now without swapping or being killed. Caches of files count as free: they give way."""
    room = [_meminfo(root, "MemAvailable")]
    for folder, group in _memory_folders(root):
        limit, usage = _number(folder / group.limit), _number(folder / group.usage)
        if limit is not None and usage is not None:
            room.append(limit - usage + _stat(folder / "memory.stat", group.reclaimable))
    return max(0, min(room))


def memory_limit(root: Path = ROOT) -> int:
    """The most this process can ever have."""
    limits = (_number(folder / group.limit) for folder, group in _memory_folders(root))
    return min([_meminfo(root, "MemTotal"), *(limit for limit in limits if limit is not None)])


def usable_cores(root: Path = ROOT) -> tuple[int, ...]:
    """Numbers of the cores this process may run on, no more of them than its time quota fills."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    quotas = [quota for quota in (_quota(folder) for folder in _cpu_folders(root)) if quota is not None]
    return cores[: max(1, math.ceil(min(quotas)))] if quotas else cores


def _memory_folders(root: Path) -> Iterator[tuple[Path, _Group]]:
    for folder in _folders(root, "memory"):
        yield from ((folder, group) for group in (_V1, _V2) if (folder / group.limit).exists())


def _cpu_folders(root: Path) -> Iterator[Path]:
    yield from _folders(root, "cpu")


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Every level of the process's control group that can be seen from here, innermost first."""
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controller if controllers else mount
        inner = Path(path.lstrip("/"))
        yield from (top / level for level in (inner, *inner.parents))


def _quota(folder: Path) -> float | None:
    """Cores' worth of time per period; None without a limit."""
    both = " ".join(_lines(folder / "cpu.max")).split()
    if not both:
        both = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    if len(both) != 2 or not all(part.isdecimal() for part in both) or int(both[1]) == 0:
        return None
    return int(both[0]) / int(both[1])


def _number(path: Path) -> int | None:
    """None when there is no such file or it says `max`."""
    text = "".join(_lines(path))
    return int(text) if text.isdecimal() else None


def _stat(path: Path, name: str) -> int:
    return next((int(line.split()[1]) for line in _lines(path) if line.split()[:1] == [name]), 0)


def _meminfo(root: Path, name: str) -> int:
    return next(int(line.split()[1]) << 10 for line in _lines(root / "proc/meminfo") if line.startswith(name + ":"))


def _lines(path: Path) -> list[str]:
    """None of them when the file is missing or closed to us: then that level sets no limit we could know."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
