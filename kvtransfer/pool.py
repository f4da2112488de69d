"""A KV pool as transports see it."""

from common.cache.storage import KVStorage
from common.types.errors import StartupError
from kvtransfer.transports.contract import PoolBytes
from kvtransfer.transports.cuda.device_pool import make_device_pool
from kvtransfer.transports.pools import Pool


def pool_of(storage: KVStorage) -> Pool:
    """The same memory, wherever it is."""
    layout = storage.layout
    if storage.memory is not None:
        return make_device_pool(storage.memory, storage.num_blocks, layout.block_bytes, layout.fingerprint)
    if storage.bytes is None:
        raise StartupError("the KV pool is closed", "")
    return PoolBytes(storage.fd, storage.bytes, layout.fingerprint)
