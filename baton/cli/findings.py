"""What a machine's facts mean for Baton: each finding with what to do about it. Pure; the facts are passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from common.obs.device import DeviceFacts
from common.types.options import format_size

SLOW_SHARE = 0.25
LITTLE_MEMORY_BYTES = 2 << 30
FEW_FILES = 4096
WORKER_PACKAGES = ("torch", "tokenizers", "safetensors", "xxhash", "numpy")
ROUTER_PACKAGES = ("grpcio", "tokenizers", "jinja2", "uvloop", "starlette", "uvicorn", "httptools", "pydantic")


class Grade(Enum):
    """How good a finding is."""

    GOOD = "ok"
    WEAK = "weak"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact, graded; `advice` is empty when there is nothing to do."""

    what: str
    grade: Grade
    fact: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Carried:
    """What one transport did: bytes per second, verified, or why it cannot be used."""

    name: str
    bytes_per_s: float = 0.0
    failure: str = ""


def of_versions(python: tuple[int, ...], packages: Mapping[str, str | None]) -> list[Finding]:
    """Python and the packages that routers and workers need; None is a package that is not installed."""
    version = ".".join(map(str, python[:3]))
    old = python < (3, 11)
    found = [
        Finding("python", Grade.BAD if old else Grade.GOOD, version, "Install Python 3.11 or newer" if old else "")
    ]
    for extra, names in (("router", ROUTER_PACKAGES), ("worker", WORKER_PACKAGES)):
        missing = [name for name in names if packages.get(name) is None]
        fact = ", ".join(f"{name} {packages[name]}" for name in names if name not in missing)
        if missing:
            advice = f"To run a {extra} here, in Baton's own folder: pip install '.[{extra}]'"
            found.append(Finding(f"{extra} packages", Grade.BAD, f"without {', '.join(missing)}", advice))
        else:
            found.append(Finding(f"{extra} packages", Grade.GOOD, fact))
    return found


def of_cores(num_usable: int, num_present: int) -> Finding:
    fact = f"{num_usable} usable of {num_present}"
    if num_usable < 2:
        advice = "Prefill and decode will take each other's time: allow this process two cores or more"
        return Finding("cores", Grade.WEAK, fact, advice)
    return Finding("cores", Grade.GOOD, fact)


def of_memory(available_bytes: int) -> Finding:
    fact = f"{available_bytes / 2**30:.1f} GiB available to this process"
    if available_bytes < LITTLE_MEMORY_BYTES:
        advice = "Enough for small models only: raise the container's limit, or end what else uses memory"
        return Finding("memory", Grade.WEAK, fact, advice)
    return Finding("memory", Grade.GOOD, fact)


def of_open_files(limit: int) -> Finding:
    if limit < FEW_FILES:
        return Finding(
            "open files", Grade.WEAK, f"at most {limit}", f"Many clients need more: ulimit -n {16 * FEW_FILES}"
        )
    return Finding("open files", Grade.GOOD, f"at most {limit}")


def of_devices(devices: Sequence[DeviceFacts] | None, torch_cuda: str | None) -> list[Finding]:
    """None when no driver answers; `torch_cuda` is the CUDA version torch was built for, None for none."""
    if not devices:
        return [Finding("gpu", Grade.GOOD, "none; workers compute on the CPU")]
    found = [_of_device(number, device) for number, device in enumerate(devices)]
    if torch_cuda is None:
        advice = "This torch cannot use it: install a build with CUDA to pass --device cuda"
        found.append(Finding("torch", Grade.WEAK, "built without CUDA", advice))
    else:
        found.append(Finding("torch", Grade.GOOD, f"built for CUDA {torch_cuda}"))
    return found


def _of_device(number: int, device: DeviceFacts) -> Finding:
    gib = 1 << 30
    parts = [f"{device.name}, {device.used_bytes / gib:.1f} of {device.total_bytes / gib:.1f} GiB in use"]
    if device.utilisation is not None:
        parts.append(f"{device.utilisation}% busy")
    if device.pcie is not None:
        parts.append(f"PCIe {device.pcie[0]} x{device.pcie[1]}")
    for way in ("NVLink", "PCIe", ""):
        if count := sum(link == way for _, link in device.links):
            parts.append(f"{count} other{'s' * (count > 1)} over {way}" if way else f"{count} it cannot reach")
    what = f"gpu {number}"
    if device.uncorrected_errors:
        parts.append(f"{device.uncorrected_errors} memory errors that could not be corrected")
        return Finding(what, Grade.BAD, "; ".join(parts), "Reset or replace it: its workers will not become ready")
    if any(not link for _, link in device.links):
        advice = "KV between these goes by way of host memory"
        return Finding(what, Grade.WEAK, "; ".join(parts), advice)
    return Finding(what, Grade.GOOD, "; ".join(parts))


def of_carriers(carried: Sequence[Carried], copy_bytes_per_s: float, num_bytes: int) -> list[Finding]:
    """What each transport did, against a plain copy in memory by one thread."""
    ceiling = f"{copy_bytes_per_s / 1e9:.1f} GB/s"
    found = [Finding("copy in memory", Grade.GOOD, f"{ceiling}, one thread, {format_size(num_bytes)}")]
    for each in carried:
        what = f"transport {each.name}"
        if each.failure:
            found.append(Finding(what, Grade.BAD, each.failure, _remedy(each.name)))
            continue
        share = each.bytes_per_s / copy_bytes_per_s
        fact = f"{each.bytes_per_s / 1e9:.2f} GB/s verified, {share:.0%} of a plain copy; both ends in one process"
        slow = each.name == "shm" and share < SLOW_SHARE
        advice = "Slower than it should be: is the machine busy, or a core shared?" if slow else ""
        found.append(Finding(what, Grade.WEAK if slow else Grade.GOOD, fact, advice))
    return found


def _remedy(name: str) -> str:
    if name == "shm":
        return "Hand-offs on this host will use tcp; see that memfd_create is allowed and memory is left"
    return "Hand-offs between hosts need it; see that connections to 127.0.0.1 are allowed"
