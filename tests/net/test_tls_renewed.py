"""A server whose certificate changes while it serves: for whoever comes next, however they come, and nobody else."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from common.net import tls
from common.net.tls import TlsFiles
from tests.net.certificates import Authority


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.0)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@asynccontextmanager
async def echoing(files: TlsFiles) -> AsyncIterator[int]:
    """Gives back what it gets; yields its port."""
    quiet = asyncio.get_running_loop()
    quiet.set_exception_handler(lambda _, context: None)  # handshakes that fail are what some tests are about
    server = await asyncio.start_server(_echo, "127.0.0.1", 0, ssl=files.server_context())
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


class Client:
    """One connection of somebody who trusts the authority."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, ours: Authority, port: int, host: str, shown: TlsFiles | None = None) -> "Client":
        """An empty host is none: as clients do that were given an address in numbers."""
        trusting = ssl.create_default_context(cafile=str(ours.ca))
        trusting.check_hostname = bool(host)
        if shown is not None:
            trusting.load_cert_chain(shown.cert, shown.key)
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=host))

    @property
    def sees(self) -> str:
        """The name in the server's certificate."""
        ((_, name),) = self._writer.get_extra_info("peercert")["subjectAltName"]
        assert isinstance(name, str)
        return name

    async def answered(self) -> bool:
        self._writer.write(b"hello\n")
        return await self._reader.readline() == b"hello\n"

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def seen(ours: Authority, port: int, host: str = "") -> str:
    """By a fresh connection."""
    client = await Client.open(ours, port, host)
    assert await client.answered()
    name = client.sees
    await client.close()
    return name


@pytest.mark.parametrize("host", ["", "named"])
async def test_with_or_without_a_name_the_next_one_sees_the_new_certificate(ours: Authority, host: str) -> None:
    async with echoing(replace(ours.issue("a", "first.test"), ca=None)) as port:
        for name in ("first.test", "second.test", "third.test"):
            ours.issue("a", name)
            assert await seen(ours, port, name if host else "") == name
            assert await seen(ours, port) == name, "and the one after"


async def test_open_connections_stay_as_they_are(ours: Authority) -> None:
    async with echoing(replace(ours.issue("a", "old.test"), ca=None)) as port:
        before = await Client.open(ours, port, "old.test")
        ours.issue("a", "new.test")
        assert await seen(ours, port) == "new.test"
        assert await before.answered()
        assert before.sees == "old.test"
        await before.close()


async def test_what_cannot_be_used_is_not_served_in_any_order_of_writing(ours: Authority) -> None:
    files = replace(ours.issue("a", "old.test"), ca=None)
    async with echoing(files) as port:
        ours.issue("a", "new.test")
        cert, key = files.cert.read_bytes(), files.key.read_bytes()
        for broken in (b"", cert[: len(cert) // 2], b"-----BEGIN CERTIFICATE-----\n", key):
            files.cert.write_bytes(broken)
            assert await seen(ours, port) == "old.test"
        files.cert.unlink()
        assert await seen(ours, port) == "old.test"
        files.cert.write_bytes(cert)
        files.key.write_bytes(key)
        assert await seen(ours, port) == "new.test"


async def test_renewing_asks_for_clients_certificates_as_before(ours: Authority) -> None:
    """A fresh certificate does not open the door to those who show none."""
    files, member = ours.issue("a", "a.test"), ours.issue("b", "b.test")

    async def let_in(shown: TlsFiles | None) -> bool:
        try:
            client = await Client.open(ours, port, "a.test", shown)
            answered = await client.answered()
            await client.close()
        except (ssl.SSLError, ConnectionError):
            return False
        return answered

    async with echoing(files) as port:
        for _ in range(2):
            assert await let_in(member)
            assert not await let_in(None)
            ours.issue("a", "a.test")


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\x00" * 512, b""])
async def test_who_does_not_speak_it_is_not_in_the_way(ours: Authority, junk: bytes) -> None:
    async with echoing(replace(ours.issue("a", "a.test"), ca=None)) as port:
        _, stranger = await asyncio.open_connection("127.0.0.1", port)
        stranger.write(junk)
        assert await seen(ours, port) == "a.test"
        stranger.close()
