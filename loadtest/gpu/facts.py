"""What the machine is, for the head of the report. Works without torch too."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

PACKAGES = ("torch", "triton", "numpy", "safetensors", "xxhash", "rich", "transformers", "tokenizers")


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def device_name() -> str:
    """Empty where torch sees no CUDA device."""
    if find_spec("torch") is None:
        return ""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def describe() -> str:
    """One line each for the machine and its packages."""
    packages = ", ".join(f"{name} {installed(name)}" for name in PACKAGES)
    lines = [f"Python {sys.version.split()[0]}, {platform.machine()}; {packages}"]
    if device := device_name():
        import torch

        free, total = torch.cuda.mem_get_info(0)
        major, minor = torch.cuda.get_device_capability(0)
        lines.insert(
            0,
            f"{device}, compute capability {major}.{minor}, {total / 2**30:.0f} GiB of which {free / 2**30:.0f} free, "
            f"CUDA {torch.version.cuda}",
        )
    return "\n".join(lines)
