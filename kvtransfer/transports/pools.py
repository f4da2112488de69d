"""A KV pool as transports see it, wherever its bytes are: in this machine's memory or on a device."""

from kvtransfer.transports.contract import PoolBytes
from kvtransfer.transports.cuda.device_pool import DevicePool

Pool = PoolBytes | DevicePool
