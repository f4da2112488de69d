"""The few calls Baton makes of CUDA's driver: memory with a name other processes can open. Knows no blocks.

The driver's own library comes with the driver, so its calls are the same whatever torch was built with. Memory taken
here is outside torch's allocator, and so outside its expandable segments, whose memory has no handle.
"""

import ctypes
import uuid
from functools import cache
from typing import Any, Protocol

import torch

HANDLE_BYTES = 64
OUT_OF_MEMORY = 2
_LAZY_PEER_ACCESS = 1
_DEVICE_ORDINAL = 9
_MEANINGS = {
    OUT_OF_MEMORY: "out of memory",
    1: "invalid value",
    3: "not initialised",
    100: "no device",
    101: "invalid device",
    201: "invalid context",
    205: "the memory cannot be mapped from here",
    217: "no peer access between the two devices",
    400: "invalid handle",
    700: "illegal address",
    710: "a kernel's assertion failed",
    711: "the device has too many peers",
    719: "a launch failed",
    800: "not permitted",
    801: "not supported",
    802: "the system is not ready",
    999: "unknown error",
}


class DriverError(Exception):
    """A call failed; `code` is the driver's."""

    def __init__(self, call: str, code: int) -> None:
        self.call, self.code = call, code
        super().__init__(f"{call}: {_MEANINGS.get(code, f'error {code}')}")

    @property
    def out_of_memory(self) -> bool:
        return self.code == OUT_OF_MEMORY


class Driver(Protocol):
    """One device's memory as other processes may see it. Pointers are addresses on that device."""

    @property
    def device(self) -> torch.device: ...

    @property
    def identity(self) -> bytes:
        """Sixteen bytes that name the physical device, the same in every process."""
        ...

    def allocate(self, num_bytes: int) -> int:
        """Uninitialised; raises `DriverError`."""
        ...

    def free(self, pointer: int) -> None: ...

    def export(self, pointer: int) -> bytes:
        """A handle for what `allocate` returned; whoever has it and runs on this machine can open it."""
        ...

    def open(self, handle: bytes) -> int:
        """Another process's memory, readable from this device."""
        ...

    def close(self, pointer: int) -> None:
        """What `open` returned is not looked at any more."""
        ...

    def view(self, pointer: int, num_bytes: int) -> torch.Tensor:
        """The memory as uint8, without a copy; it must outlive the tensor."""
        ...

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        """Between any two addresses this device can reach, in the order of a stream."""
        ...


class _Handle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_ubyte * HANDLE_BYTES)]


class _Uuid(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * 16)]


class _Array:
    """Device memory as the CUDA array interface describes it; torch reads the pointer from it."""

    def __init__(self, pointer: int, num_bytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (num_bytes,),
            "typestr": "|u1",
            "data": (pointer, False),
            "strides": None,
            "version": 3,
        }


class CudaDriver:
    """One device of this process. Any thread may call; each call makes the device's own context current for itself."""

    def __init__(self, index: int) -> None:
        self.device = torch.device("cuda", index)
        self._cuda = _library()
        self._ordinal = ctypes.c_int()
        self._context = ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(self._ordinal), ctypes.c_int(index))
        # the context torch uses too: the device's primary one
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._ordinal)
        name = _Uuid()
        self._call("cuDeviceGetUuid_v2", ctypes.byref(name), self._ordinal)
        self.identity = bytes(name.bytes)

    @property
    def uuid(self) -> str:
        """As `nvidia-smi` writes it."""
        return f"GPU-{uuid.UUID(bytes=self.identity)}"

    def allocate(self, num_bytes: int) -> int:
        pointer = ctypes.c_uint64()
        self._within("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(num_bytes))
        return pointer.value

    def free(self, pointer: int) -> None:
        self._within("cuMemFree_v2", ctypes.c_uint64(pointer))

    def export(self, pointer: int) -> bytes:
        handle = _Handle()
        self._within("cuIpcGetMemHandle", ctypes.byref(handle), ctypes.c_uint64(pointer))
        return bytes(handle.reserved)

    def open(self, handle: bytes) -> int:
        if len(handle) != HANDLE_BYTES:
            raise ValueError("a handle of another length")
        pointer = ctypes.c_uint64()
        given = _Handle.from_buffer_copy(handle)
        self._within("cuIpcOpenMemHandle_v2", ctypes.byref(pointer), given, ctypes.c_uint(_LAZY_PEER_ACCESS))
        return pointer.value

    def close(self, pointer: int) -> None:
        self._within("cuIpcCloseMemHandle", ctypes.c_uint64(pointer))

    def view(self, pointer: int, num_bytes: int) -> torch.Tensor:
        tensor = torch.as_tensor(_Array(pointer, num_bytes), device=self._holder(pointer))
        if tensor.data_ptr() != pointer:  # torch copies what it takes for another device's
            raise RuntimeError("torch made a copy of device memory where a view was asked for")
        return tensor

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        self._within(
            "cuMemcpyAsync",
            *(ctypes.c_uint64(target), ctypes.c_uint64(source), ctypes.c_size_t(num_bytes), ctypes.c_void_p(stream)),
        )

    def _holder(self, pointer: int) -> torch.device:
        """Memory opened from another process may lie on another device."""
        ordinal = ctypes.c_int()
        code = ctypes.c_int(_DEVICE_ORDINAL)
        self._within("cuPointerGetAttribute", ctypes.byref(ordinal), code, ctypes.c_uint64(pointer))
        return torch.device("cuda", ordinal.value)

    def _within(self, name: str, *arguments: Any) -> None:
        before = ctypes.c_void_p()
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            self._call(name, *arguments)
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(before))

    def _call(self, name: str, *arguments: Any) -> None:
        if code := getattr(self._cuda, name)(*arguments):
            raise DriverError(name, code)


@cache
def _library() -> ctypes.CDLL:
    """Raises OSError where there is no driver, `DriverError` where it does not work."""
    library = ctypes.CDLL("libcuda.so.1")
    if code := library.cuInit(0):
        raise DriverError("cuInit", code)
    return library
