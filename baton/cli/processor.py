"""What processor and compiler can do for Baton's kernels, and how memory is shared here. Reads; changes nothing."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Set
from pathlib import Path

from baton.cli.findings import Finding, Grade
from common.types.options import format_size

NOTABLE = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
PATIENCE_S = 10.0
LITTLE_SHM_BYTES = 1 << 30


def of_processor(model: str, flags: Set[str], level: str | None) -> Finding:
    """`level` is the best set of instructions the native kernels are compiled for; None when there is none."""
    found = [name for name in NOTABLE if name in flags]
    fact = f"{model or 'unknown'}; {', '.join(found) or 'none of ' + ', '.join(NOTABLE)}"
    if level is None:
        advice = "The native kernels need AVX2 on x86-64: here torch computes, which is slower"
        return Finding("processor", Grade.WEAK, fact, advice)
    return Finding("processor", Grade.GOOD, f"{fact}; kernels for {level}")


def of_compiler(version: str | None, level: str | None) -> Finding:
    """The first line of the compiler's own version, None where there is no compiler."""
    if version is None:
        advice = "Install one for the native kernels, such as: apt-get install g++. Without it torch computes, slower"
        return Finding("compiler", Grade.GOOD if level is None else Grade.WEAK, "none", "" if level is None else advice)
    return Finding("compiler", Grade.GOOD, version)


def of_shared_memory(failure: str, shm_bytes: int | None, num_gpus: int) -> Finding:
    """KV is lent as anonymous shared memory; only libraries of several GPUs want room in /dev/shm."""
    mounted = "none" if shm_bytes is None else f"{shm_bytes / 2**30:.2g} GiB"
    fact = f"anonymous memory can be shared and sealed; /dev/shm {mounted}, which the CPU does not need"
    if failure:
        advice = "Hand-offs on this host will use tcp: allow memfd_create (seccomp), or use Linux 5.1 or newer"
        return Finding("shared memory", Grade.BAD, failure, advice)
    if num_gpus > 1 and (shm_bytes or 0) < LITTLE_SHM_BYTES:
        advice = f"NCCL wants more for several GPUs: shm_size or --shm-size {format_size(LITTLE_SHM_BYTES)}"
        return Finding("shared memory", Grade.WEAK, fact.replace(", which the CPU does not need", ""), advice)
    return Finding("shared memory", Grade.GOOD, fact)


def of_place(uid: int, network: str, in_container: bool) -> Finding:
    """What two workers must have in common for shm; compare it between containers."""
    where = "in a container" if in_container else "on the host itself"
    return Finding("place", Grade.GOOD, f"{where}, user {uid}, network {network or 'unknown'}")


def processor_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """As the kernel names it."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def compiler_version() -> str | None:
    """What `g++ --version` begins with."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        return None
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.splitlines() or [compiler])[0]


def shared_memory_failure() -> str:
    """Why memory cannot be shared as KV pools are; empty when it can."""
    try:
        fd = os.memfd_create("baton-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        return f"memfd_create is refused: {error.strerror}"
    try:
        os.posix_fallocate(fd, 0, 1 << 20)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return f"shared memory cannot be sealed and lent: {error.strerror}"
    finally:
        os.close(fd)
    return ""


def shm_bytes(folder: Path = Path("/dev/shm")) -> int | None:
    """How large /dev/shm is; None where there is none."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_frsize * found.f_blocks


def network_namespace() -> str:
    """A name that processes of one network namespace have in common."""
    try:
        return os.readlink("/proc/self/ns/net").removeprefix("net:")
    except OSError:
        return ""


def in_container() -> bool:
    """By the marks that engines leave."""
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
