"""Compiles the C++ beside this file for the processor it runs on, once per machine, and keeps the result.

Owns the compiler's flags and the files in the cache. What is kept carries its own checksum: a damaged file is built
anew. Knows nothing of what the code does.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++20", "-O3", "-fno-math-errno", "-fPIC", "-pthread", "-Wno-psabi")
_TIMEOUT_S = 300
_DIGEST_BYTES = hashlib.sha256().digest_size


class CannotBuildError(Exception):
    """Why there are no native kernels on this machine, in words for its operator."""


@dataclass(frozen=True, slots=True)
class Level:
    """A set of instructions the code is compiled for; the flags are /proc/cpuinfo's."""

    name: str
    needs: frozenset[str]
    flags: tuple[str, ...]


_V3 = frozenset({"avx2", "fma", "f16c", "bmi2"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
LEVELS = (
    Level("avx512_bf16", _V4 | {"avx512_bf16"}, ("-march=x86-64-v4", "-mavx512bf16")),
    Level("avx512", _V4, ("-march=x86-64-v4",)),
    Level("avx2", _V3, ("-march=x86-64-v3",)),
)


def levels_of(cpu_flags: Set[str]) -> tuple[Level, ...]:
    """What a processor with these flags can run, best first."""
    return tuple(level for level in LEVELS if level.needs <= cpu_flags)


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Empty on anything but Linux on x86-64."""
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        return frozenset()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def build(level: Level, cache: Path) -> Path:
    """The compiled library; takes some seconds where the cache has none. Safe to call from many processes at once."""
    try:
        target = cache / f"{level.name}-{_key(level)}.so"
        if _is_whole(target):  # an image may bring it along, and no compiler
            return target
        compiler = shutil.which("g++") or shutil.which("c++")
        if compiler is None:
            raise CannotBuildError(
                "there is no C++ compiler (g++ or c++) on the path; install one for speed: apt-get install g++"
            )
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(cache / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(target):
                _compile(level, compiler, target)
    except OSError as error:
        raise CannotBuildError(f"the cache {cache} cannot be used: {error.strerror}") from error
    return target


def _sources() -> list[Path]:
    return sorted((*SOURCES.glob("*.h"), *SOURCES.glob("*.cpp")))


def _key(level: Level) -> str:
    parts = [*FLAGS, *level.flags, *(path.name + "\0" + path.read_text() for path in _sources())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _is_whole(path: Path) -> bool:
    """Whether the file ends in the checksum of what stands before it, as it was written."""
    if not path.exists():
        return False
    content = path.read_bytes()
    return hashlib.sha256(content[:-_DIGEST_BYTES]).digest() == content[-_DIGEST_BYTES:]


def _compile(level: Level, compiler: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:

        def compile_one(source: Path) -> str:
            made = f"{scratch}/{source.stem}.o"
            _run([compiler, *FLAGS, *level.flags, "-c", str(source), "-o", made])
            return made

        with ThreadPoolExecutor() as pool:
            objects = list(pool.map(compile_one, (path for path in _sources() if path.suffix == ".cpp")))
        library = Path(scratch) / "library.so"
        _run([compiler, *FLAGS, "-shared", *objects, "-o", str(library)])
        content = library.read_bytes()
        library.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(library, target)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotBuildError(f"{command[0]} did not end within {_TIMEOUT_S} s") from error
    if done.returncode:
        first = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise CannotBuildError(f"{command[0]} failed: {first}")
    return done.stdout
