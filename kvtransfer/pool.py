"""A KV pool as transports see it."""

from common.cache.storage import KVStorage
from common.types.errors import StartupError
from kvtransfer.transports.contract import PoolBytes


def pool_bytes(storage: KVStorage) -> PoolBytes:
    """The same memory; raises when it is not in this machine's memory."""
    if storage.bytes is None:
        raise StartupError("KV on a device cannot be lent yet", "Use --device cpu")
    return PoolBytes(storage.fd, storage.bytes, storage.layout.fingerprint)
