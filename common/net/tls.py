"""TLS of this process's servers and calls: PEM files in, credentials out, read again when they change.

A pair that cannot be used, such as a certificate whose key has not been written yet, changes nothing: what was read
last stays in force. Knows no service and no role.
"""

import logging
import os
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from common.types.errors import StartupError

LOOK_S = 1.0
FIX = "Name PEM files: a certificate with its chain, its key, and an authority where one is asked for"
_log = logging.getLogger("baton.tls")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """One end of a connection: its certificate with the chain to its authority, its private key, and the authority it
    takes the other end's certificates of. A server without an authority takes clients without certificates.
    """

    cert: Path
    key: Path
    ca: Path | None = None

    def server_credentials(self) -> grpc.ServerCredentials:
        """For `bind`. Raises StartupError when the files cannot be used."""
        pem = _Pem(self)
        return grpc.dynamic_ssl_server_credentials(
            pem.configuration(),
            pem.changed,  # type: ignore[arg-type] # None is allowed, and means no change
            self.ca is not None,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """As they are now: a channel opened later shows what was written meanwhile."""
        ca, key, cert = _Pem(self).read()
        return grpc.ssl_channel_credentials(ca, key, cert)

    def server_context(self) -> ssl.SSLContext:
        """For servers of the standard library's kind. A changed authority counts from the next start on."""
        pem = _Pem(self)
        current = pem.context()

        def renew(sock: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
            nonlocal current
            if pem.changed() is not None:
                current = pem.context()
            sock.context = current

        first = pem.context()
        first.sni_callback = renew
        return first

    def client_context(self) -> ssl.SSLContext:
        """For connections of the standard library's kind, as the files are now."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            raise StartupError(f"the certificate {self.cert} cannot be used: {_why(error)}", FIX) from error
        return context


def ca_credentials(ca: str) -> grpc.ChannelCredentials:
    """For a client without a certificate of its own: which authority's servers it trusts; `system` is the machine's."""
    if ca == "system":
        return grpc.ssl_channel_credentials()
    return grpc.ssl_channel_credentials(_read(Path(ca)))


class _Pem:
    """The files' contents as they were last found sound. Asked by gRPC's threads and by the event loop."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._stamp = self._now_on_disk()
        self._warned: object = None
        self.context()

    def read(self) -> tuple[bytes | None, bytes, bytes]:
        """Authority, key, certificate."""
        files = self._files
        return None if files.ca is None else _read(files.ca), _read(files.key), _read(files.cert)

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        ca, key, cert = self.read()
        return grpc.ssl_server_certificate_configuration([(key, cert)], ca)

    def context(self) -> ssl.SSLContext:
        """Made anew; raises StartupError when the files do not belong together."""
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(files.cert, files.key)
            if files.ca is not None:
                context.load_verify_locations(files.ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:  # ssl.SSLError is one of its kind
            raise StartupError(f"the certificate {files.cert} cannot be used: {_why(error)}", FIX) from error
        return context

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What to use from now on, if it is something else than before."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at < LOOK_S:
                return None
            self._looked_at = now
            stamp = self._now_on_disk()
            if stamp == self._stamp:
                return None
            try:
                self.context()
                fresh = self.configuration()
            except StartupError as error:
                if stamp != self._warned:
                    _log.warning("certificate not read again", extra={"reason": error.cause})
                self._warned = stamp
                return None
            self._stamp = stamp
            _log.info("certificate read again")
            return fresh

    def _now_on_disk(self) -> tuple[tuple[int, int, int], ...]:
        paths = [path for path in (self._files.cert, self._files.key, self._files.ca) if path is not None]
        return tuple(_stamp(path) for path in paths)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}", "Check the TLS options") from error


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no certificate").lower().replace("_", " ")
    return error.strerror or "it cannot be read"
