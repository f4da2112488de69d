"""A small authority, and files with certificates of it."""

from pathlib import Path

import trustme

from common.net.tls import TlsFiles


class Authority:
    """Signs what a test asks for, into a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._own = trustme.CA()
        self.ca = folder / "ca.pem"
        self._own.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str) -> TlsFiles:
        """NAME.pem and NAME.key, for these hosts; a second time they are replaced."""
        made = self._own.issue_cert(*hosts)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return TlsFiles(cert, key, self.ca)

    def fleet(self) -> str:
        """A folder with every role's files."""
        for role in ("router", "prefill", "decode", "operator"):
            self.issue(role, f"{role}.baton")
        return str(self.folder)
