"""Who may come in: keys and certificates of a router."""

from dataclasses import dataclass, field

from common.types.options import about


@dataclass(frozen=True, slots=True)
class Access:
    """Clients' keys, the certificate they see and the authority of theirs; the fleet's own certificates."""

    keys: str = field(default="", metadata=about("clients' keys, or off; one is made when strangers can call", "FILE"))
    tls_cert: str = field(default="", metadata=about("certificate and chain shown to clients", "FILE"))
    tls_key: str = field(default="", metadata=about("its private key", "FILE"))
    tls_client_ca: str = field(default="", metadata=about("clients must show a certificate of this authority", "FILE"))
    fleet_tls: str = field(default="", metadata=about("folder of the fleet's certificates", "DIR"))
