"""The transports between processes, by name: what a lender offers and how a fetcher connects to it."""

from collections.abc import Sequence

from kvtransfer.transports.contract import FetchingTransport, LendingTransport, Lends, PoolBytes, TransportFailed
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.shm import ShmLender
from kvtransfer.transports.shm_fetch import ShmFetcher
from kvtransfer.transports.tcp import TcpLender
from kvtransfer.transports.tcp_fetch import TcpFetcher


def lending_transports(
    names: Sequence[str],
    pool: PoolBytes,
    epoch: int,
    lends: Lends,
    *,
    host: str = "127.0.0.1",
    advertise: str = "",
    expose: bool = False,
) -> tuple[LendingTransport, ...]:
    """Not yet started. Shared memory is left out for a pool that is not made of it."""
    offered: list[LendingTransport] = []
    if "shm" in names and pool.fd is not None:
        offered.append(ShmLender(pool, epoch))
    if "tcp" in names:
        offered.append(TcpLender(pool, epoch, lends, host=host, advertise=advertise, expose=expose))
    return tuple(offered)


async def connect(name: str, endpoint: str, hello: Hello, own: PoolBytes, stall_s: float) -> FetchingTransport:
    """Raises `TransportFailed` when the lender cannot be reached this way, or refuses."""
    if name == "shm":
        return await ShmFetcher.connect(endpoint, hello, own, stall_s=stall_s)
    if name == "tcp":
        return await TcpFetcher.connect(endpoint, hello, own, stall_s=stall_s)
    raise TransportFailed("the lender offers a transport that is not known here")
