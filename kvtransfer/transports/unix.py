"""How a fetcher calls at a lender's unix socket."""

import asyncio
import socket

from common.net.unix import NotReached, reach
from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.hello import Hello


async def dial(sock: socket.socket, endpoint: str, hello: Hello) -> None:
    """Connects and introduces this worker; raises `TransportFailed` where the lender is somebody else's."""
    try:
        await reach(sock, endpoint)
    except NotReached as failure:
        raise TransportFailed(f"the lender cannot be reached on this host: {failure}") from None
    await asyncio.get_running_loop().sock_sendall(sock, hello.pack())
