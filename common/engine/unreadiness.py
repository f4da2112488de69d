"""Between a device that breaks and the event loop that must hear of it. Knows nothing of what is done about it."""

import asyncio
import logging
import uuid
from collections.abc import Callable

from common.cache.storage import KVStorage
from common.obs.device import DeviceWatch
from common.obs.nvml import Nvml, NvmlError, PyNvml

_log = logging.getLogger("baton.worker")


def watch_device(
    storage: KVStorage, on_fault: Callable[[str], None], open_nvml: Callable[[], Nvml] = PyNvml.open
) -> DeviceWatch | None:
    """Calls `on_fault` on the running loop, once; None where nothing is on a device, or its library does not answer."""
    if storage.memory is None:
        return None
    loop = asyncio.get_running_loop()
    try:
        nvml = open_nvml()
    except NvmlError:
        _log.warning("errors of the device will not be heard of: its management library does not answer")
        return None
    name = f"GPU-{uuid.UUID(bytes=storage.memory.driver.identity)}"
    watch = DeviceWatch(nvml, name, lambda reason: _tell(loop, on_fault, reason))
    try:
        watch.start()
    except NvmlError:  # a part of a device, say, which goes by another name
        _log.warning("errors of the device will not be heard of: its management library does not know it")
        return None
    if not watch.hears:
        _log.warning("errors of the device will not be heard of: it tells of none")
    return watch


def _tell(loop: asyncio.AbstractEventLoop, on_fault: Callable[[str], None], reason: str) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(on_fault, reason)
