"""How each plane of a router is closed: keys, certificates, and whether an address that others reach may be taken."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from common.net.peers import ROUTER, PeerCheck, fleet_files
from common.net.tls import TlsFiles
from common.types.config import RouterConfig
from common.types.errors import StartupError
from router.keys import KeyRing, open_keys
from router.service_keys import KeyCheck


@dataclass(frozen=True, slots=True)
class Door:
    """One plane's. `expose`: something else than the address keeps strangers out, or the operator takes it on."""

    expose: bool
    tls: TlsFiles | None
    checks: tuple[grpc.aio.ServerInterceptor, ...]

    def credentials(self) -> grpc.ServerCredentials | None:
        """Raises StartupError when the files cannot be used."""
        return None if self.tls is None else self.tls.server_credentials()


@dataclass(frozen=True, slots=True)
class Doors:
    """All of one router; `keys` is None while none are asked for."""

    keys: KeyRing | None
    clients: Door
    fleet: Door


def make_doors(config: RouterConfig, tell: Callable[[str], None]) -> Doors:
    """Raises StartupError; tells of a key that was made for this run."""
    keys = open_keys(config, tell)
    return Doors(keys, _clients_door(config, keys), _fleet_door(config, keys))


def _clients_door(config: RouterConfig, keys: KeyRing | None) -> Door:
    """Keys, or an authority that clients' certificates must come from, keep strangers out."""
    access = config.access
    closed = keys is not None or bool(access.tls_client_ca)
    return Door(config.expose or closed, _clients_files(config), () if keys is None else (KeyCheck(keys),))


def _fleet_door(config: RouterConfig, keys: KeyRing | None) -> Door:
    """Only certificates do: what members tell each other is not for others' eyes."""
    folder = config.access.fleet_tls
    files = fleet_files(folder, ROUTER) if folder else None
    by_role = (PeerCheck(),) if files else ()
    return Door(config.expose or files is not None, files, by_role if keys is None else (*by_role, KeyCheck(keys)))


def _clients_files(config: RouterConfig) -> TlsFiles | None:
    access = config.access
    if bool(access.tls_cert) != bool(access.tls_key) or (access.tls_client_ca and not access.tls_cert):
        raise StartupError(
            "TLS for clients needs a certificate and its key", "Give --tls-cert and --tls-key, or neither"
        )
    if not access.tls_cert:
        return None
    ca = Path(access.tls_client_ca) if access.tls_client_ca else None
    return TlsFiles(Path(access.tls_cert), Path(access.tls_key), ca)
