"""`baton doctor`: gathers the facts of this machine and prints what they mean. Changes nothing.

With `--fleet` it also measures what carries KV from a running fleet's workers to this place.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from baton.cli.findings import (
    ROUTER_PACKAGES,
    WORKER_PACKAGES,
    Finding,
    Grade,
    of_carriers,
    of_cores,
    of_devices,
    of_memory,
    of_open_files,
    of_versions,
)
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
from common.kernels.native.build import cpu_flags, levels_of
from common.obs.device import DeviceFacts, read_devices
from common.obs.memory import available_bytes, usable_cores
from common.obs.nvml import NvmlError, PyNvml
from common.types.config import DoctorConfig
from common.types.resolve import load

WIDTH = 16


def run(argv: Sequence[str]) -> int:
    config = load(DoctorConfig, "baton doctor", argv)
    findings = _machine()
    for finding in findings:
        _print(finding)
    if installed("torch") and installed("xxhash"):
        from baton.cli.carriers import measure_carriers

        for finding in of_carriers(*measure_carriers(config.probe_size), config.probe_size):
            _print(finding)
            findings.append(finding)
        if config.fleet:
            findings += asyncio.run(_fleet(config))
    return 1 if any(finding.grade is Grade.BAD for finding in findings) else 0


async def _fleet(config: DoctorConfig) -> list[Finding]:
    from baton.cli.fleet_check import check_fleet

    findings = []
    async for finding in check_fleet(config):
        _print(finding)
        findings.append(finding)
    return findings


def _machine() -> list[Finding]:
    levels = levels_of(cpu_flags())
    level = levels[0].name if levels else None
    gpus = _devices()
    packages = {name: installed(name) for name in (*ROUTER_PACKAGES, *WORKER_PACKAGES)}
    return [
        *of_versions(tuple(sys.version_info[:3]), packages),
        of_cores(len(usable_cores()), os.cpu_count() or 1),
        of_memory(available_bytes()),
        of_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        of_processor(processor_model(), cpu_flags(), level),
        of_compiler(compiler_version(), level),
        *of_devices(gpus, _torch_cuda()),
        of_shared_memory(shared_memory_failure(), shm_bytes(), len(gpus or ())),
        of_place(os.geteuid(), network_namespace(), in_container()),
    ]


def _print(finding: Finding) -> None:
    print(f"{finding.grade.value:<5} {finding.what:<{WIDTH}} {finding.fact}", flush=True)
    if finding.advice:
        print(f"{'':<5} {'':<{WIDTH}} -> {finding.advice}", flush=True)


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> tuple[DeviceFacts, ...] | None:
    """None when no driver answers."""
    try:
        return read_devices(PyNvml.open())
    except NvmlError:
        return None


def _torch_cuda() -> str | None:
    if find_spec("torch") is None:
        return None
    import torch

    return torch.version.cuda
