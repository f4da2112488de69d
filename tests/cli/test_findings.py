"""What facts mean: every finding that is not good says what to do."""

import pytest

from baton.cli.carriers import BLOCK, measure_carriers
from baton.cli.findings import (
    ROUTER_PACKAGES,
    WORKER_PACKAGES,
    Carried,
    Finding,
    Grade,
    of_carriers,
    of_cores,
    of_devices,
    of_memory,
    of_open_files,
    of_versions,
)
from common.obs.device import read_devices
from tests.obs.fake_nvml import FakeNvml

ALL_PACKAGES: dict[str, str | None] = dict.fromkeys((*ROUTER_PACKAGES, *WORKER_PACKAGES), "1.0")
GOOD = [
    *of_versions((3, 12, 1), ALL_PACKAGES),
    of_cores(8, 8),
    of_memory(16 << 30),
    of_open_files(65536),
    *of_devices(None, None),
    *of_devices(read_devices(FakeNvml(links={frozenset(("GPU-a", "GPU-b")): "NVLink"})), "13.0"),
    *of_carriers([Carried("shm", 8e9), Carried("tcp", 1e9)], 1e10, 64 << 20),
]
NOT_GOOD = [
    of_versions((3, 10, 0), ALL_PACKAGES)[0],
    of_versions((3, 11, 0), ALL_PACKAGES | {"torch": None})[2],
    of_cores(1, 8),
    of_memory(1 << 20),
    of_open_files(256),
    of_devices(read_devices(FakeNvml(("GPU-a",))), None)[1],
    of_devices(read_devices(FakeNvml(errors=2)), "13.0")[0],
    of_devices(read_devices(FakeNvml()), "13.0")[0],
    of_carriers([Carried("shm", 1e9)], 1e10, 64 << 20)[1],
    of_carriers([Carried("shm", failure="no memfd")], 1e10, 64 << 20)[1],
    of_carriers([Carried("tcp", failure="refused")], 1e10, 64 << 20)[1],
]


@pytest.mark.parametrize("finding", GOOD, ids=lambda finding: finding.what)
def test_good_needs_no_advice(finding: Finding) -> None:
    assert (finding.grade, finding.advice) == (Grade.GOOD, "")


@pytest.mark.parametrize("finding", NOT_GOOD, ids=lambda finding: finding.what)
def test_the_rest_says_what_to_do(finding: Finding) -> None:
    assert finding.grade is not Grade.GOOD
    assert finding.advice


def test_missing_packages_are_named_with_their_extra() -> None:
    finding = of_versions((3, 11, 0), ALL_PACKAGES | {"torch": None, "xxhash": None})[2]
    assert finding.fact == "without torch, xxhash"
    assert "'.[worker]'" in finding.advice


def test_a_gpu_is_told_with_its_memory_and_its_ways_to_others() -> None:
    devices = read_devices(FakeNvml(("GPU-a", "GPU-b"), links={frozenset(("GPU-a", "GPU-b")): "NVLink"}))
    first, _, torch = of_devices(devices, "13.0")
    assert first.fact == "NVIDIA Test, 4.0 of 16.0 GiB in use; 37% busy; PCIe 5 x16; 1 other over NVLink"
    assert torch.fact == "built for CUDA 13.0"


def test_both_transports_carry_blocks_here() -> None:
    carried, copy_bytes_per_s = measure_carriers(4 * BLOCK.block_bytes)
    assert [each.name for each in carried] == ["shm", "tcp"]
    assert [each.failure for each in carried] == ["", ""]
    assert all(each.bytes_per_s > 0 for each in carried)
    assert copy_bytes_per_s > 0
