"""TLS on raw sockets between workers: a lender takes decode workers' certificates, a fetcher a prefill worker's.

Owns the handshake and which role the other end must have; what is said afterwards is the transport's business.
"""

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from common.net.peers import DECODE, PREFILL, host_of
from common.net.tls import TlsFiles
from kvtransfer.transports.sockets import Disconnected, readable, writable


@dataclass(frozen=True, slots=True)
class LenderTls:
    """A lender's end, ready for many connections; the certificate is read again when its file changes."""

    context: ssl.SSLContext

    @classmethod
    def of(cls, files: TlsFiles) -> "LenderTls":
        """Raises StartupError when the files cannot be used."""
        return cls(files.server_context())

    async def secure(self, sock: socket.socket) -> ssl.SSLSocket:
        """Raises Disconnected when the other end is no decode worker of this fleet."""
        secured = await _shake(self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False))
        shown: Any = (secured.getpeercert() or {}).get("subjectAltName", ())
        if ("DNS", host_of(DECODE)) not in shown:
            secured.close()
            raise Disconnected
        return secured


async def secure_to_lender(sock: socket.socket, files: TlsFiles) -> ssl.SSLSocket:
    """A fetcher's end. Raises Disconnected when the other end is no prefill worker of this fleet."""
    context = files.client_context()
    return await _shake(context.wrap_socket(sock, server_hostname=host_of(PREFILL), do_handshake_on_connect=False))


async def _shake(sock: ssl.SSLSocket) -> ssl.SSLSocket:
    """The caller bounds it in time."""
    try:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await readable(sock)
            except ssl.SSLWantWriteError:
                await writable(sock)
            else:
                return sock
    except OSError as error:
        sock.close()
        raise Disconnected from error
    except BaseException:
        sock.close()
        raise
