"""The transports between processes, by name: what a lender offers and how a fetcher connects to it."""

from collections.abc import Callable, Sequence

from common.net.tls import TlsFiles
from common.types.errors import StartupError
from kvtransfer.transports.contract import (
    FetchingTransport,
    LendingTransport,
    Lends,
    TransportFailed,
)
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.ipc import CudaIpcLender
from kvtransfer.transports.cuda.ipc_fetch import CudaIpcFetcher
from kvtransfer.transports.cuda.nccl import NcclLender
from kvtransfer.transports.cuda.nccl_fetch import NcclFetcher
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.lane import Place
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.shm_fetch import ShmFetcher
from kvtransfer.transports.tcp import TcpLender
from kvtransfer.transports.tcp_fetch import TcpFetcher

BETWEEN_DEVICES = ("cuda_ipc", "nccl")
"""Of no use to a pool that is not on a device."""
ON_ONE_HOST = {"shm", "cuda_ipc"}
"""Over unix sockets: where one of them is wanted, near lines and near streams are too."""


def lending_transports(
    names: Sequence[str],
    pool: Pool,
    epoch: int,
    lends: Lends,
    *,
    host: str = "127.0.0.1",
    advertise: str = "",
    expose: bool = False,
    tls: TlsFiles | None = None,
    runtime_dir: str | None = None,
) -> tuple[LendingTransport, ...]:
    """Not yet started; only those that can carry what lies where this pool lies."""
    offered: list[LendingTransport] = []
    if isinstance(pool, DevicePool):
        if "cuda_ipc" in names:
            offered.append(CudaIpcLender(pool, epoch, runtime_dir=runtime_dir))
        if "nccl" in names and tls is None:  # it encrypts nothing
            offered.append(NcclLender(pool, epoch, lends, host=host, advertise=advertise, expose=expose))
    elif "shm" in names and pool.fd is not None:
        offered.append(ShmLender(pool, epoch, runtime_dir=runtime_dir))
    if "tcp" in names:
        offered.append(TcpLender(pool, epoch, lends, host=host, advertise=advertise, expose=expose, tls=tls))
    return tuple(offered)


async def start_all(
    transports: Sequence[LendingTransport], warn: Callable[[str], None]
) -> tuple[LendingTransport, ...]:
    """Those that started. A way between devices that this machine does not offer is given up, aloud, if others do."""
    started: list[LendingTransport] = []
    for place, transport in enumerate(transports):
        try:
            await transport.start()
        except StartupError as error:
            await transport.close()
            others = len(started) + len(transports) - place - 1
            if transport.name not in BETWEEN_DEVICES or not others:
                for each in started:
                    await each.close()
                raise
            warn(f"HAND-OFFS GO ANOTHER WAY: {error.cause}")
        else:
            started.append(transport)
    return tuple(started)


def usable(names: Sequence[str], own: Pool) -> tuple[str, ...]:
    """Transports that can bring blocks to where this pool lies."""
    return tuple(name for name in names if isinstance(own, DevicePool) or name not in BETWEEN_DEVICES)


async def connect(
    name: str,
    endpoint: str,
    hello: Hello,
    own: Pool,
    stall_s: float,
    *,
    tls: TlsFiles | None = None,
    place: Place = lambda: None,
) -> FetchingTransport:
    """Raises `TransportFailed` when the lender cannot be reached this way, or refuses.

    `place` is called by the thread that copies in host memory, before each copy.
    """
    if name == "cuda_ipc" and isinstance(own, DevicePool):
        return await CudaIpcFetcher.connect(endpoint, hello, own, stall_s=stall_s)
    if name == "nccl" and isinstance(own, DevicePool) and tls is None:
        return await NcclFetcher.connect(endpoint, hello, own, stall_s=stall_s)
    if name == "shm":
        return await ShmFetcher.connect(endpoint, hello, own, stall_s=stall_s, place=place)
    if name == "tcp":
        return await TcpFetcher.connect(endpoint, hello, own, stall_s=stall_s, tls=tls, place=place)
    raise TransportFailed("the lender offers a transport that is not known here")
