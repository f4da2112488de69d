"""Names of devices, and what is none."""

import pytest

from common.types.device import Device, parse_device


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cpu", Device("cpu")),
        ("cuda", Device("cuda", 0)),
        ("cuda:0", Device("cuda", 0)),
        ("cuda:12", Device("cuda", 12)),
    ],
)
def test_devices(text: str, device: Device) -> None:
    assert parse_device(text) == device
    assert parse_device(str(device)) == device


@pytest.mark.parametrize(
    "text", ["", "gpu", "cuda:", "cuda:-1", "cuda:1,", "cuda:1000", "cpu:0", "CUDA", "cuda:١", "cuda\n"]
)
def test_what_is_no_device(text: str) -> None:
    assert parse_device(text) is None


def test_a_device_says_its_name() -> None:
    assert [str(Device("cpu")), str(Device("cuda")), str(Device("cuda", 3))] == ["cpu", "cuda:0", "cuda:3"]
    assert Device("cuda").is_cuda
    assert not Device("cpu").is_cuda
