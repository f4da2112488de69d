"""The bytes of all KV blocks: memory that is really there before the first request. Knows no tokens and no requests."""

import fcntl
import mmap
import os

import numpy as np
import torch
from numpy.typing import NDArray

from common.cache.device_memory import DeviceMemory
from common.cache.driver import CudaDriver, Driver
from common.types.device import parse_device
from common.types.errors import StartupError
from common.types.kv import KVLayout

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "fp8": torch.float8_e4m3fn,
}
_F_SEAL_FUTURE_WRITE = 0x10  # Linux 5.1; Python's fcntl does not name it yet


class KVStorage:
    """One run of memory, seen three ways.

    `tensor` is `[num_blocks + num_scratch, num_layers, 2, num_kv_heads, block_tokens, head_dim]`; scratch blocks, which
    only a device has, are nobody's: what must be written somewhere and is never read goes there. On a CPU `bytes` is
    the same memory as uint8 `[num_blocks, block_bytes]`, and `fd` a memfd that a peer may map for reading: nobody but
    this process can map it writable or change its size. On a CUDA device both are None and `memory` holds it all.

    `available_bytes` is what the caller knows to be free (a container's limit, say). It is compared before anything is
    taken: a memfd that asks for too much is not refused by the kernel, it gets processes killed.
    """

    def __init__(
        self,
        layout: KVLayout,
        num_blocks: int,
        device: str = "cpu",
        available_bytes: int | None = None,
        *,
        driver: Driver | None = None,
        num_scratch: int = 0,
    ) -> None:
        self.layout = layout
        self.num_blocks = num_blocks
        self.num_scratch = num_scratch
        self.num_bytes = num_blocks * layout.block_bytes
        if num_blocks < 1:
            raise StartupError("the KV pool would hold no block", "Give it more memory (kv_memory)")
        where = parse_device(device)
        if driver is None and where is not None and where.is_cuda:
            driver = CudaDriver(where.index)
        if available_bytes is None and driver is None:
            available_bytes = _available_bytes()
        if available_bytes is not None and self.num_bytes > available_bytes:
            raise _too_small(self.num_bytes, available_bytes)
        shape, dtype = layout.block_shape, _DTYPES[layout.dtype]
        self.fd: int | None = None
        self.bytes: NDArray[np.uint8] | None = None
        self.memory: DeviceMemory | None = None
        if driver is not None:
            self.memory = DeviceMemory(driver, (num_blocks + num_scratch) * layout.block_bytes)
            self.tensor = self.memory.content.view(dtype).view(-1, *shape)
            return
        self.fd, memory = _allocate(self.num_bytes)
        self.bytes = np.frombuffer(memory, np.uint8).reshape(num_blocks, layout.block_bytes)
        self.tensor = torch.from_numpy(self.bytes.reshape(-1)).view(dtype).view(-1, *shape)

    def close(self) -> None:
        """Gives the memory back once nobody looks at it any more. May be called twice."""
        self.bytes = None
        self.tensor = torch.empty(0)
        if self.memory is not None:
            self.memory.close()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def _allocate(num_bytes: int) -> tuple[int, mmap.mmap]:
    """A memfd whose pages all exist, mapped here and sealed against everybody else."""
    fd = os.memfd_create("baton-kv", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, num_bytes)
        # populated: a page touched for the first time in a step costs that step six times the copy
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        memory = mmap.mmap(fd, num_bytes, flags, mmap.PROT_READ | mmap.PROT_WRITE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _F_SEAL_FUTURE_WRITE)
    except OSError as error:
        os.close(fd)
        raise StartupError(
            f"{num_bytes / 2**20:.0f} MiB of shared memory for the KV pool cannot be had: {error.strerror}",
            "Lower kv_memory, or give the machine or container more memory",
        ) from error
    return fd, memory


def _available_bytes() -> int:
    """What the kernel says can be allocated without swapping."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _too_small(wanted: int, available: int) -> StartupError:
    return StartupError(
        f"the KV pool needs {wanted / 2**20:.0f} MiB and {available / 2**20:.0f} MiB are free",
        "Lower kv_memory, or give the machine or container more memory",
    )
